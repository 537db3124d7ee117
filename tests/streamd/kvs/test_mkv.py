"""The push parser: what it accepts, what it refuses, and that nothing gets lost."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ebmlite import loadSchema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.kvs import ebml, mkv_write
from streamd.kvs.ebml import element, size_bytes, text_element, uint_element
from streamd.kvs.mkv import (
    MAX_BLOCK_BYTES,
    Block,
    ClusterEnd,
    ClusterStart,
    CutOffError,
    Event,
    MkvError,
    MkvParser,
    Other,
    StreamHeader,
    Tags,
    Track,
)

VIDEO = Track(
    number=1, kind="video", codec_id="V_TEST", codec_private=b"\x01\x02", width_px=64, height_px=48
)
HEADER = mkv_write.stream_header([VIDEO])
CLUSTER = ebml.CLUSTER.to_bytes(4)
TWO_FRAGMENTS = b"".join(
    mkv_write.stream_header([VIDEO])
    + mkv_write.tags({"NAME": f"fragment {index}"})
    + mkv_write.cluster_start(index * 1000)
    + mkv_write.simple_block(1, 0, bytes(40), keyframe=True)
    + mkv_write.simple_block(1, 40, b"delta" * 9, keyframe=False)
    + mkv_write.tags({"AFTER": str(index)})
    for index in range(2)
)


def parse(data: bytes, step: int | None = None) -> list[Event]:
    """Events of a whole body, fed in pieces of ``step`` bytes."""
    parser = MkvParser()
    events: list[Event] = []
    for start in range(0, len(data), step or max(1, len(data))):
        events += parser.feed(data[start : start + (step or len(data))])
    return events + parser.close()


def blocks(data: bytes) -> list[Block]:
    """The blocks of a body."""
    return [event for event in parse(data) if isinstance(event, Block)]


def cluster(*children: bytes, timecode: int = 0) -> bytes:
    """A document with one cluster of unknown size."""
    return HEADER + mkv_write.cluster_start(timecode) + b"".join(children)


def test_two_documents_in_one_body() -> None:
    """Several documents follow each other, each with header, tags, cluster and blocks."""
    kinds = [type(event).__name__ for event in parse(TWO_FRAGMENTS)]
    assert (
        kinds
        == ["StreamHeader", "Tags", "ClusterStart", "Block", "Block", "ClusterEnd", "Tags"] * 2
    )


def test_header_says_tracks_and_scale() -> None:
    """StreamHeader carries the tracks and the timecode scale."""
    (header,) = parse(mkv_write.stream_header([VIDEO], timecode_scale_ns=100_000))
    assert isinstance(header, StreamHeader)
    assert header.tracks == (
        Track(
            number=1,
            kind="video",
            codec_id="V_TEST",
            codec_private=b"\x01\x02",
            uid=1,
            width_px=64,
            height_px=48,
        ),
    )
    assert header.timecode_scale_ns == 100_000


def test_block_times_and_flags() -> None:
    """A block's time is its cluster's plus its own, which may be negative."""
    data = cluster(
        mkv_write.simple_block(1, -5, b"a", keyframe=True),
        mkv_write.simple_block(2, 7, b"b", keyframe=False),
        timecode=1000,
    )
    first, second = blocks(data)
    assert (first.track_number, first.timecode, first.keyframe, first.frames) == (
        1,
        995,
        True,
        (b"a",),
    )
    assert (second.track_number, second.timecode, second.keyframe) == (2, 1007, False)


def test_known_sizes() -> None:
    """Segment and Cluster may have sizes; a cluster then ends without a successor."""
    inner = uint_element(ebml.TIMECODE, 5) + mkv_write.simple_block(1, 0, b"x", keyframe=True)
    body = HEADER[HEADER.index(ebml.SEGMENT.to_bytes(4)) + 12 :] + element(ebml.CLUSTER, inner)
    head = HEADER[: HEADER.index(ebml.SEGMENT.to_bytes(4))]
    events = parse(head + element(ebml.SEGMENT, body) + HEADER)
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["StreamHeader", "ClusterStart", "Block", "ClusterEnd", "StreamHeader"]


def test_one_byte_unknown_sizes() -> None:
    """The C producer writes unknown sizes as one byte FF."""
    data = TWO_FRAGMENTS.replace(b"\x01" + b"\xff" * 7, b"\xff")
    assert len(blocks(data)) == 4


@pytest.mark.parametrize(("reference", "keyframe"), [(b"", True), (uint_element(0xFB, 1), False)])
def test_block_group_keyframe(reference: bytes, keyframe: bool) -> None:
    """A BlockGroup is a keyframe when it references no other block."""
    block = element(ebml.BLOCK, b"\x81\x00\x03\x00frame")
    (found,) = blocks(cluster(element(ebml.BLOCK_GROUP, block + reference)))
    assert (found.keyframe, found.relative_timecode, found.frames) == (keyframe, 3, (b"frame",))


@pytest.mark.parametrize(
    ("payload", "frames"),
    [
        (b"\x81\0\0\x02" + b"\x01" + b"\x02" + b"aabbb", (b"aa", b"bbb")),
        (b"\x81\0\0\x02\x01\xff\x01" + b"a" * 256 + b"b", (b"a" * 256, b"b")),
        (b"\x81\0\0\x04\x02aabbcc", (b"aa", b"bb", b"cc")),
        (b"\x81\0\0\x06\x02\x84\xbe" + b"aaaa" + b"bbb" + b"cc", (b"aaaa", b"bbb", b"cc")),
        (b"\x81\0\0\x06\x00only", (b"only",)),
    ],
    ids=["xiph", "xiph-255", "fixed", "ebml", "single"],
)
def test_lacing(payload: bytes, frames: tuple[bytes, ...]) -> None:
    """Each way of lacing gives back the frames."""
    (block,) = blocks(cluster(element(ebml.SIMPLE_BLOCK, payload)))
    assert block.frames == frames


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x81\0",
        b"\x80\0\0\0",
        b"\x81\0\0\x02",
        b"\x81\0\0\x02\x03\xff",
        b"\x81\0\0\x02\x01\x09abc",
        b"\x81\0\0\x04\x01abc",
        b"\x81\0\0\x06\x01\xff",
        b"\x81\0\0\x06\x02\x84\x81abcd",
    ],
)
def test_bad_blocks(payload: bytes) -> None:
    """A block whose head or lacing does not fit its bytes is an error."""
    with pytest.raises(MkvError, match=r"block|lac"):
        parse(cluster(element(ebml.SIMPLE_BLOCK, payload)))


def test_header_stripping() -> None:
    """Bytes stripped from every frame of a track are put back."""
    track = Track(number=1, kind="video", codec_id="V_TEST", frame_prefix=b"\0\0\x01")
    data = (
        mkv_write.stream_header([track])
        + mkv_write.cluster_start(0)
        + mkv_write.simple_block(1, 0, b"rest", keyframe=True)
    )
    assert blocks(data)[0].frames == (b"\0\0\x01rest",)


def test_tags_between_header_parts() -> None:
    """Tags before Tracks follow the header, whose raw holds their bytes."""
    segment = HEADER.index(ebml.INFO.to_bytes(4))
    data = HEADER[:segment] + mkv_write.tags({"EARLY": "1"}) + HEADER[segment:]
    header, early = parse(data)
    assert isinstance(early, Tags)
    assert (header.raw, early.values, early.raw) == (data, {"EARLY": "1"}, b"")


def test_missing_info_means_milliseconds() -> None:
    """Without Info the header comes with the first cluster and the default scale."""
    start, end = HEADER.index(ebml.INFO.to_bytes(4)), HEADER.index(ebml.TRACKS.to_bytes(4))
    header = next(iter(parse(HEADER[:start] + HEADER[end:] + mkv_write.cluster_start(0))))
    assert isinstance(header, StreamHeader)
    assert header.timecode_scale_ns == 1_000_000


def test_void_and_cues_pass() -> None:
    """What is not understood but allowed rides along as Other."""
    void, cues = element(ebml.VOID, bytes(9)), element(ebml.CUES, bytes(3))
    events = parse(HEADER + void + mkv_write.cluster_start(0) + void + cues)
    assert [type(event) for event in events] == [
        StreamHeader, Other, ClusterStart, Other, ClusterEnd, Other,
    ]  # fmt: skip


ENDLESS = (1 << 56) - 2


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<html>", "byte 0x3C|where an EBML header"),
        (bytes(64), "byte 0x00"),
        (b"garbage and more", "where an EBML header should begin"),
        (mkv_write.cluster_start(0), "0x1F43B675 where an EBML header"),
        (element(ebml.EBML, text_element(ebml.DOC_TYPE, "avi")), "'avi' is not Matroska"),
        (element(ebml.EBML, b"") + HEADER, "where a segment should begin"),
        (element(ebml.EBML, bytes(5000)), "4096 bytes are the most"),
        (HEADER + bytes(40), "byte 0x00"),
        (HEADER + element(0xC0, b"?"), "0xC0 in a segment"),
        (cluster(element(0xC0, b"?")), "0xC0 in a cluster"),
        (HEADER + CLUSTER + b"\xff" + mkv_write.simple_block(1, 0, b"", keyframe=True), "timecode"),
        (HEADER + (CLUSTER + b"\xff") * 2, "without a timecode"),
        (cluster(uint_element(ebml.TIMECODE, 1)), "two timecodes"),
        (cluster(b"\xa3\xff"), "0xA3 of unknown size"),
        (cluster(b"\xa3" + size_bytes(MAX_BLOCK_BYTES + 1)), "16777217 bytes"),
        (HEADER + b"\xec" + size_bytes(ENDLESS), "0xEC of 72057594037927934 bytes"),
        (
            HEADER + element(ebml.CLUSTER, uint_element(ebml.TIMECODE, 1) + b"\xa3\x8f"),
            "longer than",
        ),
        (HEADER + element(ebml.TRACKS, b""), "0 tracks"),
        (HEADER + mkv_write.stream_header([]), "0 tracks"),
        (mkv_write.stream_header([VIDEO, VIDEO]), "must differ"),
        (mkv_write.stream_header([VIDEO], timecode_scale_ns=0), "scale of 0 ns"),
        (
            HEADER[: HEADER.index(ebml.TRACKS.to_bytes(4))] + mkv_write.cluster_start(0),
            "before Tracks",
        ),
        (HEADER[: HEADER.index(ebml.TRACKS.to_bytes(4))] + HEADER, "before Tracks"),
        (
            HEADER + element(ebml.TAGS, bytes(9)),
            "byte 0x00",
        ),
    ],
)
def test_refused(data: bytes, text: str) -> None:
    """Each kind of damage has an error that says what came and where."""
    with pytest.raises(MkvError, match=rf"({text}).*\(at byte \d+\)"):
        parse(data)


def test_changed_tracks_need_a_new_document() -> None:
    """Tracks may be repeated in a document but not changed."""
    tracks = HEADER[HEADER.index(ebml.TRACKS.to_bytes(4)) :]
    assert len(parse(HEADER + tracks)) == 2
    with pytest.raises(MkvError, match="tracks that change"):
        parse(HEADER + tracks.replace(b"V_TEST", b"V_BEST"))


def test_compressed_track_is_refused() -> None:
    """A compression other than header stripping is named."""
    data = mkv_write.stream_header([Track(number=1, kind="video", codec_id="V", frame_prefix=b"x")])
    with pytest.raises(MkvError, match="algorithm 0"):
        parse(
            data.replace(
                uint_element(ebml.CONTENT_COMP_ALGO, 3), uint_element(ebml.CONTENT_COMP_ALGO, 0)
            )
        )


@pytest.mark.parametrize("cut", [1, 30, len(HEADER) - 1, len(HEADER) + 3, len(TWO_FRAGMENTS) - 1])
def test_close_inside_an_element(cut: int) -> None:
    """A body that ends inside an element or its header is cut off, not damaged."""
    parser = MkvParser()
    parser.feed(TWO_FRAGMENTS[:cut])
    with pytest.raises(CutOffError, match="the stream ends"):
        parser.close()


def test_close_ends_an_open_cluster() -> None:
    """Between elements the end of the body ends a cluster of unknown size."""
    parser = MkvParser()
    parser.feed(cluster())
    assert parser.close() == [ClusterEnd()]
    assert parser.close() == []


def test_events_before_damage_are_delivered() -> None:
    """feed() returns what was whole and raises at the next call, then always the same."""
    parser = MkvParser()
    events = parser.feed(TWO_FRAGMENTS + b"\0\0\0\0")
    assert len(events) == 14
    for _ in range(2):
        with pytest.raises(MkvError, match=f"at byte {len(TWO_FRAGMENTS)}"):
            parser.feed(TWO_FRAGMENTS)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 400), max_size=30))
def test_chunks_do_not_matter(cuts: list[int]) -> None:
    """However the input is cut, the events are the same and their raw is the input."""
    parser, events, position = MkvParser(), [], 0
    for size in cuts:
        events += parser.feed(TWO_FRAGMENTS[position : position + size])
        position += size
    events += parser.feed(TWO_FRAGMENTS[position:]) + parser.close()
    assert events == parse(TWO_FRAGMENTS)
    assert b"".join(event.raw for event in events) == TWO_FRAGMENTS


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(TWO_FRAGMENTS) - 1),
            st.sampled_from(["flip", "delete", "insert", "zero"]),
            st.binary(min_size=1, max_size=12),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 600),
)
def test_mutated_streams(changes: list[tuple[int, str, bytes]], step: int) -> None:
    """Damage gives MkvError or events, never another exception; raw stays a prefix; memory small."""
    data = bytearray(TWO_FRAGMENTS)
    for at, kind, noise in changes:
        match kind:
            case "flip":
                data[at : at + len(noise)] = bytes(
                    a ^ b for a, b in zip(data[at : at + len(noise)], noise, strict=False)
                )
            case "delete":
                del data[at : at + len(noise)]
            case "insert":
                data[at:at] = noise
            case "zero":
                data[at : at + len(noise)] = bytes(len(noise))
    parser, events = MkvParser(), []
    try:
        for start in range(0, len(data), step):
            events += parser.feed(bytes(data[start : start + step]))
            assert parser.buffered_bytes <= len(data)
        events += parser.close()
    except MkvError:
        pass
    for event in events:
        if isinstance(event, Block):
            assert sum(map(len, event.frames)) <= len(event.raw)
    assert bytes(data).startswith(b"".join(event.raw for event in events))


def test_buffer_holds_one_element() -> None:
    """The buffer is bounded by the element being read, however long the stream."""
    parser, largest = MkvParser(), 0
    parser.feed(cluster())
    block = mkv_write.simple_block(1, 0, bytes(5000), keyframe=False)
    for _ in range(200):
        for start in range(0, len(block), 700):
            parser.feed(block[start : start + 700])
            largest = max(largest, parser.buffered_bytes)
    assert largest <= len(block)


def test_pending_header_is_bounded() -> None:
    """A header that never ends is refused."""
    filler = element(ebml.VOID, bytes(100_000)) * 20
    with pytest.raises(MkvError, match="a header of more than"):
        MkvParser().feed(HEADER[: HEADER.index(ebml.INFO.to_bytes(4))] + filler)


def test_ebmlite_reads_the_same(tmp_path: Path) -> None:
    """An independent reader finds the same elements in what the writer wrote."""
    data = cluster(mkv_write.simple_block(1, 12, b"frame", keyframe=True), timecode=77)
    file = tmp_path / "oracle.mkv"
    file.write_bytes(data)
    with file.open("rb") as stream:
        document = loadSchema("matroska.xml").load(io.BufferedReader(stream))
        segment = next(e for e in document if e.name == "Segment")
        found = {e.name: e for e in segment}
        names = [e.name for e in found["Cluster"]]
        timecode = next(e.value for e in found["Cluster"] if e.name.startswith("Time"))
        entry = next(iter(found["Tracks"]))
        codec = next(e.value for e in entry if e.name == "CodecID")
    assert (timecode, codec, names[-1]) == (77, "V_TEST", "SimpleBlock")


@given(st.sampled_from([b"\x81", b"\x80", b"\x82", b"\x40\x01", b""]), st.binary(max_size=40))
def test_the_quick_way_of_blocks_is_the_long_one(track: bytes, rest: bytes) -> None:
    """A SimpleBlock of any bytes is the same, or refused the same, in a cluster of any size."""
    payload = track + rest
    block = bytes((ebml.SIMPLE_BLOCK,)) + size_bytes(len(payload)) + payload
    known = HEADER + element(ebml.CLUSTER, uint_element(ebml.TIMECODE, 7) + block)
    assert _outcome(cluster(block, timecode=7)) == _outcome(known)


def _outcome(data: bytes) -> list[object]:
    try:
        found = blocks(data)
    except MkvError:
        return ["refused"]
    return [(b.track_number, b.timecode, b.keyframe, b.frames, b.raw) for b in found]
