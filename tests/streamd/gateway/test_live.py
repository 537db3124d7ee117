from __future__ import annotations

import pytest

from streamd.gateway.archive import Place, StoredFragment
from streamd.gateway.fragmenter import Opened
from streamd.gateway.live import KEPT_BYTES, FragmentState, LiveFragment, LiveStream, LiveStreams

OPENED = Opened(header=b"h", timecode_ms=5, producer_ms=5)


def make_stream(newest: str | None = None) -> LiveStream:
    return LiveStream("door", stream_id=1, newest=newest, newest_ms=0, retention_hours=0)


def fragment(*parts: bytes) -> LiveFragment:
    made = LiveFragment(OPENED, number="1", previous=None, server_ms=0)
    for part in parts:
        made.add(part)
    return made


@pytest.mark.parametrize(
    ("offset", "limit", "data"),
    [(0, 4, b"aabb"), (0, 5, b"aabb"), (0, 1, b"aa"), (2, 9, b"bbcccc"), (4, 1, b"cccc"), (8, 9, b"")],
)  # fmt: skip
def test_whole_parts_are_read(offset: int, limit: int, data: bytes) -> None:
    """read() returns whole parts up to the limit, at least one where there is one."""
    assert fragment(b"aa", b"bb", b"cccc").read(offset, limit) == data


def test_parts_are_taken_once() -> None:
    """take() returns what came since the last time."""
    made = fragment(b"aa")
    assert made.take() == [b"aa"]
    made.add(b"bb")
    made.add(b"cc")
    assert made.take() == [b"bb", b"cc"]
    assert made.take() == []


def test_written_parts_beyond_the_newest_are_let_go() -> None:
    """Memory keeps the newest bytes; offsets stay what they are."""
    half = bytes(KEPT_BYTES // 2)
    made = fragment(half, half, half, half)
    made.note_written(3 * len(half))
    assert made.kept_from == 2 * len(half)
    assert len(made.read(made.kept_from, 10**9)) == 2 * len(half)
    made.release()
    assert (made.kept_from, made.size) == (4 * len(half), 4 * len(half))


def test_numbers_rise_and_name_the_one_before() -> None:
    """Each fragment knows what came right before it, archived or live."""
    stream = make_stream(newest=f"{1:047d}")
    first = stream.begin(OPENED, server_ms=10)
    second = stream.begin(OPENED, server_ms=9)  # the clock went back
    assert first.previous == f"{1:047d}"
    assert second.previous == first.number < second.number == stream.newest
    assert stream.after(first.number) is second
    assert stream.open_fragment is second


def test_two_that_take_themselves_for_home_make_no_number_twice() -> None:
    """Fragments that arrive in one millisecond differ in the part that each side has drawn."""
    sides = [make_stream(newest=f"{2**156:047d}") for _ in range(2)]
    numbers = [side.begin(OPENED, server_ms=10).number for side in sides for _ in range(50)]
    assert len(set(numbers)) == 100
    assert [len(number) for number in numbers] == [47] * 100


def test_what_another_replica_archived_is_behind_what_comes() -> None:
    """Numbers rise beyond it; what is older than what is known changes nothing."""
    stream = make_stream(newest=f"{2**156:047d}")
    there = StoredFragment(
        number=f"{2**156 + 2**120:047d}", server_ms=99, server_end_ms=99, producer_ms=0,
        length_ms=0, place=Place(stream_id=1, segment_id=1, offset=0), size=0, crc32=0,
        header_offset=0, header_size=0, header_crc32=0,
    )  # fmt: skip
    stream.learn(there)
    assert (stream.newest, stream.newest_ms) == (there.number, 99)
    assert stream.begin(OPENED, server_ms=10).number > there.number
    newest = stream.newest
    stream.learn(there)
    stream.learn(None)
    assert stream.newest == newest


def test_archived_and_failed_fragments_are_no_longer_live() -> None:
    """Both leave the stream and wake its consumers."""
    stream = make_stream()
    event = stream.waiter()
    for end, state in ((stream.archived, FragmentState.OPEN), (stream.fail, FragmentState.FAILED)):
        made = stream.begin(OPENED, server_ms=0)
        event.clear()
        end(made)
        assert (stream.after("0"), event.is_set(), made.state) == (None, True, state)
    stream.forget(event)
    event.clear()
    stream.shut()
    assert not event.is_set()


def test_a_cut_cluster_with_a_size_is_torn() -> None:
    """Only the archive has it right, so it is not complete here."""
    stream = make_stream()
    made = stream.begin(OPENED, server_ms=0)
    stream.complete(made, server_end_ms=1, length_ms=1, patch=(4, b"\xff"))
    assert made.state is FragmentState.TORN
    assert stream.open_fragment is None


def test_streams_live_as_long_as_they_are_used() -> None:
    """The last connection that leaves takes the stream out."""
    streams = LiveStreams()
    stream = streams.enter("door", make_stream)
    assert streams.enter("door", make_stream) is stream
    streams.leave(stream)
    assert streams.all() == [stream]
    streams.leave(stream)
    assert streams.get("door") is None
