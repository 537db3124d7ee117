from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.gateway.errors import MediaFaultError
from streamd.gateway.fragmenter import Closed, Fragmenter, Opened, Part, Step
from streamd.kvs import ebml, mkv_write
from streamd.kvs.acks import ErrorCode
from streamd.kvs.mkv import Track

VIDEO = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
SOUND = Track(number=2, kind="audio", codec_id="A_AAC")
HEADER = mkv_write.stream_header([VIDEO])


def block(at: int, *, track: int = 1) -> bytes:
    return mkv_write.simple_block(track, at, b"frame", keyframe=at == 0)


def cluster(at: int, *times: int, track: int = 1) -> bytes:
    return mkv_write.cluster_start(at) + b"".join(block(time, track=track) for time in times)


def steps(data: bytes, *, origin_ms: int = 0, cut: bool = False) -> list[Step]:
    fragmenter = Fragmenter(origin_ms=origin_ms)
    return [*fragmenter.feed(data), *fragmenter.end(cut=cut)]


def test_steps_of_two_fragments() -> None:
    """Opened, parts, closed: for each fragment, the parts being the bytes as sent."""
    first, second = cluster(1000, 0, 40, 80), cluster(2000, 0)
    metadata = mkv_write.tags({"place": "hall"})
    found = steps(HEADER + first + metadata + second, origin_ms=5000)
    opened = [step for step in found if isinstance(step, Opened)]
    assert opened == [
        Opened(header=HEADER, timecode_ms=1000, producer_ms=6000),
        Opened(header=HEADER, timecode_ms=2000, producer_ms=7000),
    ]
    parts = b"".join(step.raw for step in found if isinstance(step, Part))
    assert parts == first + metadata + second
    closed = [step for step in found if isinstance(step, Closed)]
    assert [step.length_ms for step in closed] == [120, 1]
    assert [type(step) for step in found].index(Closed) == 6


def test_tags_before_the_first_cluster_belong_to_the_header() -> None:
    """Producer tags in front are repeated with every fragment, as the header is."""
    early = mkv_write.tags({"camera": "7"})
    found = steps(HEADER + early + cluster(0, 0) + cluster(1, 0))
    headers = [step.header for step in found if isinstance(step, Opened)]
    assert headers == [HEADER + early] * 2


def test_a_new_document_brings_a_new_header() -> None:
    """A second EBML header closes the fragment; what follows has the new tracks."""
    other = mkv_write.stream_header([replace(VIDEO, width_px=32)])
    found = steps(HEADER + cluster(0, 0) + other + cluster(1, 0))
    assert [step.header for step in found if isinstance(step, Opened)] == [HEADER, other]


def test_names_of_the_service_are_left_out() -> None:
    """Tags that begin with AWS never come back as a producer's own."""
    mixed = mkv_write.tags({"AWS_KINESISVIDEO_FRAGMENT_NUMBER": "1", "own": "2"})
    found = steps(HEADER + cluster(0, 0) + mixed)
    assert found[-2] == Part(mkv_write.tags({"own": "2"}))


def test_names_of_the_service_are_left_out_of_the_header() -> None:
    """Tags between the header's parts are cleaned, too: nobody can forge a fragment's number."""
    info = HEADER.index(ebml.INFO.to_bytes(4))
    forged = mkv_write.tags({"AWS_KINESISVIDEO_ERROR_ID": "5000", "b": "2"})
    early = mkv_write.tags({"a": "1"}) + forged + mkv_write.tags({"c": "3"})
    found = steps(HEADER[:info] + early + HEADER[info:] + cluster(0, 0))
    assert isinstance(found[0], Opened)
    assert found[0].header == HEADER + mkv_write.tags({"a": "1", "b": "2", "c": "3"})


def test_the_end_of_a_body_inside_an_element() -> None:
    """The whole blocks are a fragment; then the fault is told."""
    fragmenter = Fragmenter(origin_ms=0)
    found = list(fragmenter.feed(HEADER + cluster(0, 0, 40)[:-3]))
    ending = fragmenter.end(cut=False)
    assert next(ending) == Closed(length_ms=1, is_cut=True)
    with pytest.raises(MediaFaultError) as caught:
        next(ending)
    assert caught.value.code is ErrorCode.INVALID_MKV_DATA
    assert isinstance(found[-1], Part)


def test_a_lost_connection_excuses_a_missing_track() -> None:
    """Whole blocks are kept even where a track has none yet; an empty cluster is not."""
    header = mkv_write.stream_header([VIDEO, SOUND])
    found = steps(header + cluster(0, 0), cut=True)
    assert isinstance(found[-1], Closed)
    with pytest.raises(MediaFaultError) as caught:
        steps(header + cluster(0), cut=True)
    assert caught.value.code is ErrorCode.FRAMES_MISSING_FOR_TRACK


WHOLE = HEADER + cluster(0, 0, 40) + mkv_write.tags({"a": "b"}) + cluster(100, 0, 40)


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_how_the_body_is_cut_changes_nothing(cuts: list[int]) -> None:
    """The steps are the same whatever the chunks."""
    fragmenter = Fragmenter(origin_ms=0)
    found: list[Step] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(WHOLE)], strict=True):
        found.extend(fragmenter.feed(WHOLE[start:end]))
    found.extend(fragmenter.end(cut=False))
    assert found == steps(WHOLE)


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(0, len(WHOLE) - 1),
    junk=st.binary(max_size=40),
    removed=st.integers(0, 40),
    cut=st.booleans(),
)
def test_damage_is_a_fault_and_nothing_else(at: int, junk: bytes, removed: int, cut: bool) -> None:
    """Any change of the bytes gives steps in order, then at most a MediaFaultError."""
    fragmenter = Fragmenter(origin_ms=0)
    found: list[Step] = []
    with contextlib.suppress(MediaFaultError):
        for step in fragmenter.feed(WHOLE[:at] + junk + WHOLE[at + removed :]):
            found.append(step)  # noqa: PERF402  # what came before the fault counts
        for step in fragmenter.end(cut=cut):
            found.append(step)  # noqa: PERF402
    is_open = False
    for step in found:
        assert isinstance(step, Opened) is not is_open
        is_open = not isinstance(step, Closed)


def test_short_fragments_are_refused_where_a_length_is_demanded() -> None:
    """MIN_FRAGMENT_DURATION is off unless set; the last fragment may be as short as it is."""
    body = HEADER + cluster(0, 0, 500) + cluster(1000, 0)
    assert sum(isinstance(step, Closed) for step in steps(body)) == 2
    fragmenter = Fragmenter(origin_ms=0, min_fragment_ms=1000)
    found = [*fragmenter.feed(body), *fragmenter.end(cut=False)]
    assert [step.length_ms for step in found if isinstance(step, Closed)] == [1000, 1]
    fragmenter = Fragmenter(origin_ms=0, min_fragment_ms=1001)
    with pytest.raises(MediaFaultError) as caught:
        list(fragmenter.feed(body))
    assert caught.value.code is ErrorCode.MIN_FRAGMENT_DURATION_REACHED


@pytest.mark.parametrize(("span_ms", "fits"), [(10_000, True), (10_001, False)])
def test_the_longest_fragment_is_a_setting(span_ms: int, fits: bool) -> None:
    """Exactly as long is fine; AWS's documents say 10 and 20 seconds."""
    fragmenter = Fragmenter(origin_ms=0, max_fragment_ms=10_000)
    body = HEADER + cluster(0, 0, span_ms)
    if fits:
        assert list(fragmenter.feed(body))
        return
    with pytest.raises(MediaFaultError) as caught:
        list(fragmenter.feed(body))
    assert caught.value.code is ErrorCode.MAX_FRAGMENT_DURATION_REACHED
