"""GetMedia bodies as fragments and packets."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.kvs import mkv_write, tags
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentEvent,
    FragmentReader,
    FragmentStarted,
    Packet,
    StreamError,
)
from streamd.kvs.mkv import CutOffError, MkvError, Track

VIDEO = Track(number=2, kind="video", codec_id="V_TEST", uid=2, width_px=64, height_px=48)
AUDIO = Track(number=1, kind="audio", codec_id="A_TEST", uid=1, sampling_hz=8000.0, channels=1)
HEADER = mkv_write.stream_header([AUDIO, VIDEO])
BEFORE = mkv_write.tags(
    tags.fragment_tags(
        "12", server_timestamp_ms=1_700_000_000_512, producer_timestamp_ms=1_700_000_000_007
    )
)
CLUSTER = (
    mkv_write.cluster_start(9000)
    + mkv_write.simple_block(2, 0, b"key", keyframe=True)
    + mkv_write.simple_block(1, 5, b"sound", keyframe=True)
    + mkv_write.simple_block(2, 40, b"delta", keyframe=False)
)
AFTER = mkv_write.tags(tags.trailing_tags("12", millis_behind_now=350))
FRAGMENT = HEADER + BEFORE + CLUSTER + mkv_write.tags({"room": "hall"}) + AFTER


def read(data: bytes) -> list[FragmentEvent]:
    """Events of a whole body."""
    reader = FragmentReader()
    events = reader.feed(data)
    reader.close()
    return events


def test_one_fragment() -> None:
    """A fragment starts, brings the packets of its video track, and ends with its tags."""
    started, key, delta, ended = read(FRAGMENT)
    assert isinstance(started, FragmentStarted)
    assert isinstance(key, Packet)
    assert isinstance(delta, Packet)
    assert isinstance(ended, FragmentEnded)
    info = started.fragment
    assert (info.number, info.video, info.cluster_timecode) == ("12", VIDEO, 9000)
    assert (info.server_timestamp_ms, info.producer_timestamp_ms) == (
        1_700_000_000_512,
        1_700_000_000_007,
    )
    assert (key.offset_ns, key.keyframe, key.data) == (0, True, b"key")
    assert (delta.offset_ms, delta.offset_seconds, delta.data) == (40, 0.04, b"delta")
    assert key.fragment is ended.fragment is info
    assert (ended.continuation_token, ended.millis_behind_now) == ("12", 350)
    assert ended.metadata == {"room": "hall"}


def test_packets_do_not_wait() -> None:
    """A packet comes with the last byte of its block, the end with the last byte of its tag."""
    reader = FragmentReader()
    key_ends = len(HEADER + BEFORE) + CLUSTER.index(b"key") + 3
    assert [type(e) for e in reader.feed(FRAGMENT[: key_ends - 1])] == [FragmentStarted]
    assert [type(e) for e in reader.feed(FRAGMENT[key_ends - 1 : key_ends])] == [Packet]
    assert [type(e) for e in reader.feed(FRAGMENT[key_ends:])] == [Packet, FragmentEnded]
    assert reader.fragment is None


@pytest.mark.parametrize(
    ("scale_ns", "offset_ns", "offset_ms"), [(100_000, 4_000_000, 4), (333_333, 13_333_320, 13)]
)
def test_other_timecode_scales(scale_ns: int, offset_ns: int, offset_ms: int) -> None:
    """Offsets are exact nanoseconds whatever the scale."""
    data = mkv_write.stream_header([VIDEO], timecode_scale_ns=scale_ns) + BEFORE + CLUSTER
    packet = FragmentReader().feed(data)[2]
    assert isinstance(packet, Packet)
    assert (packet.offset_ns, packet.offset_ms) == (offset_ns, offset_ms)


def test_laced_frames_become_packets() -> None:
    """Frames laced into one block are packets of the same time."""
    laced = b"\xa3\x89\x82\0\0\x84\x01aabb"
    packets = FragmentReader().feed(HEADER + BEFORE + mkv_write.cluster_start(0) + laced)[1:]
    assert [p.data for p in packets if isinstance(p, Packet)] == [b"aa", b"bb"]


def test_no_video_track() -> None:
    """Without a video track fragments come without packets."""
    data = mkv_write.stream_header([AUDIO]) + BEFORE + CLUSTER + AFTER
    started, ended = read(data)
    assert isinstance(started, FragmentStarted)
    assert started.fragment.video is None
    assert isinstance(ended, FragmentEnded)


def test_archived_form() -> None:
    """Without closing tags the next fragment ends the one before; SIDE spellings are known."""
    before = mkv_write.tags({
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER": "13",
        "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP": "2.5",
        "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP": "1",
    })  # fmt: skip
    events = FragmentReader().feed(HEADER + BEFORE + CLUSTER + HEADER + before + CLUSTER)
    ended, started = events[3], events[4]
    assert isinstance(ended, FragmentEnded)
    assert isinstance(started, FragmentStarted)
    assert (ended.fragment.number, ended.continuation_token) == ("12", None)
    assert (started.fragment.number, started.fragment.server_timestamp_ms) == ("13", 2500)


def test_second_fragment_in_one_document() -> None:
    """A fragment number after a cluster announces another fragment, even without a header."""
    other = mkv_write.tags(tags.fragment_tags("13", server_timestamp_ms=1, producer_timestamp_ms=2))
    events = FragmentReader().feed(HEADER + BEFORE + CLUSTER + other + CLUSTER)
    assert [type(e) for e in events[3:5]] == [FragmentEnded, FragmentStarted]


def test_second_cluster_of_a_fragment() -> None:
    """A second cluster goes on with the same fragment; offsets count from its first."""
    more = mkv_write.cluster_start(9500) + mkv_write.simple_block(2, 1, b"x", keyframe=True)
    packet = FragmentReader().feed(HEADER + BEFORE + CLUSTER + more)[-1]
    assert isinstance(packet, Packet)
    assert packet.offset_ms == 501


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (tags.error_tags("12", error_id=4000, error_code="GONE"), (4000, "GONE", "12")),
        ({"AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE": "Oops"}, (0, "Oops", None)),
        ({"AWS_KINESISVIDEO_ERROR_ID": "9" * 5000}, (0, "", None)),
    ],
)
def test_error_chunk(values: dict[str, str], expected: tuple[int, str, str | None]) -> None:
    """An error chunk becomes a StreamError, and the fragment it cuts off is not ended."""
    events = read(HEADER + BEFORE + CLUSTER + HEADER + mkv_write.tags(values))
    assert FragmentEnded not in map(type, events)
    error = events[-1]
    assert isinstance(error, StreamError)
    assert (error.error_id, error.error_code, error.fragment_number) == expected


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (b"", "fragment number ''"),
        (mkv_write.tags({tags.FRAGMENT_NUMBER: "x1"}), "fragment number 'x1'"),
        (mkv_write.tags({tags.FRAGMENT_NUMBER: "1"}), "without the tag AWS_KINESISVIDEO_SERVER"),
        (
            mkv_write.tags(tags.fragment_tags("1", server_timestamp_ms=0, producer_timestamp_ms=0)
                           | {tags.PRODUCER_TIMESTAMP: "soon"}),
            "PRODUCER_TIMESTAMP: 'soon' is not",
        ),
    ],
)  # fmt: skip
def test_bad_tags(before: bytes, text: str) -> None:
    """A fragment needs its number and times."""
    with pytest.raises(MkvError, match=text):
        FragmentReader().feed(HEADER + before + CLUSTER)


def test_body_that_ends_early() -> None:
    """A body that ends inside a fragment is cut off; one that ends after it is not."""
    for cut in (len(HEADER + BEFORE) + 20, len(FRAGMENT) - len(AFTER), len(FRAGMENT) - 1):
        reader = FragmentReader()
        reader.feed(FRAGMENT[:cut])
        with pytest.raises(CutOffError):
            reader.close()


def test_packets_before_damage() -> None:
    """What came before the damage is returned, the error with the next call."""
    reader = FragmentReader()
    assert len(reader.feed(FRAGMENT + HEADER + BEFORE + CLUSTER + bytes(9))) == 7
    with pytest.raises(MkvError, match="byte 0x00"):
        reader.close()
    with pytest.raises(MkvError, match="byte 0x00"):
        reader.feed(b"")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(FRAGMENT) - 1), st.binary(min_size=1, max_size=6), st.integers(1, 300))
def test_mutated_bodies(at: int, noise: bytes, step: int) -> None:
    """Damage brings MkvError and nothing else; chunks do not matter."""
    data = FRAGMENT[:at] + noise + FRAGMENT[at + len(noise) :] + FRAGMENT

    def collect(size: int) -> list[FragmentEvent]:
        reader, events = FragmentReader(), []
        with contextlib.suppress(MkvError):
            for start in range(0, len(data), size):
                events += reader.feed(data[start : start + size])
        return events

    assert collect(step) == collect(len(data))
