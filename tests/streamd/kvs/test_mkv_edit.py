"""Changed headers and clusters are still Matroska, with the rest as it was."""

from __future__ import annotations

import pytest

from streamd.kvs import mkv_write
from streamd.kvs.mkv import MkvParser, StreamHeader, Track
from streamd.kvs.mkv_edit import unsized_cluster_patch, with_unknown_size, without_tags

VIDEO = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
HEADER = mkv_write.stream_header([VIDEO])
SEGMENT = b"\x18\x53\x80\x67"
UNKNOWN = b"\x01" + b"\xff" * 7


def test_known_cluster_sizes_can_be_made_unknown() -> None:
    """The patch has the length of the size it replaces; an unknown size needs none."""
    assert unsized_cluster_patch(b"\x1f\x43\xb6\x75\x85rest") == (4, b"\xff")
    assert unsized_cluster_patch(b"\x1f\x43\xb6\x75\x40\x05rest") == (4, b"\x7f\xff")
    eight = b"\x01\0\0\0\0\0\0\x05"
    assert unsized_cluster_patch(b"\x1f\x43\xb6\x75" + eight) == (4, b"\x01" + b"\xff" * 7)
    assert unsized_cluster_patch(mkv_write.cluster_start(0)) is None


@pytest.mark.parametrize("size", [b"\x85", b"\x40\x05", b"\x01\0\0\0\0\0\0\x05", UNKNOWN])
def test_a_segment_of_any_size_becomes_one_of_unknown_size(size: bytes) -> None:
    """Only the size changes: eight bytes that say nothing."""
    before, _, rest = HEADER.partition(SEGMENT)
    children = rest.removeprefix(UNKNOWN)
    assert children != rest, "the writer's header has a Segment of unknown size"
    assert with_unknown_size(before + SEGMENT + size + children) == HEADER


def test_tags_are_cut_out_of_a_header() -> None:
    """Every Tags element goes, wherever it stands between the Segment's children."""
    before, _, rest = HEADER.partition(SEGMENT + UNKNOWN)
    tags = mkv_write.tags({"camera": "7"})
    with_tags = before + SEGMENT + UNKNOWN + tags + rest + tags
    assert without_tags(with_tags) == HEADER
    assert without_tags(HEADER) == HEADER


def test_a_changed_header_is_still_read() -> None:
    """A parser finds the same tracks in it."""
    changed = without_tags(with_unknown_size(HEADER))
    events = list(MkvParser().feed(changed + mkv_write.cluster_start(0)))
    header = next(event for event in events if isinstance(event, StreamHeader))
    assert [(track.number, track.codec_id) for track in header.tracks] == [(1, VIDEO.codec_id)]
