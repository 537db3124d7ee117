"""Segment files: bytes that are where they were said to be."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from streamd.gateway.archive import Retention, StoredFragment
from streamd.gateway.errors import ArchiveError, FragmentGoneError
from streamd.gateway.segments import Segment, SegmentFiles, SegmentWriter

ARN = "arn:door"
KEPT = Retention(max_age_ms=1 << 40, max_bytes=None, durable=True)


class Desk:
    """One open segment, lent to one writer after the other."""

    def __init__(self, directory: Path) -> None:
        self.files = SegmentFiles(directory)
        descriptor, preamble = self.files.create(1, 1, arn=ARN)
        self.segment = Segment(
            segment_id=1,
            stream_id=1,
            size=os.fstat(descriptor).st_size,
            open_file=descriptor,
            mark=preamble.mark,
        )
        self.released = 0

    def writer(self) -> SegmentWriter:
        return SegmentWriter(
            files=self.files, retention=KEPT, acquire=lambda: self.segment, release=self._release
        )

    def _release(self, segment: Segment) -> None:
        assert segment is self.segment
        self.released += 1

    def put(
        self, number: int, *parts: bytes, patch: tuple[int, bytes] | None = None
    ) -> StoredFragment:
        writer = self.writer()
        writer.write(b"header", parts)
        return writer.finish(
            number=f"{number:047d}",
            server_ms=number,
            server_end_ms=number + 1,
            producer_ms=number,
            length_ms=1,
            patch=patch,
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_fragment_lies_where_it_says(desk: Desk) -> None:
    """Its bytes, its header and both checksums."""
    found = desk.put(1, b"one", b"two")
    assert desk.files.read(found.place, 0, found.size) == b"onetwo"
    assert desk.files.read(found.place, 2, 3) == b"etw"
    assert desk.files.read(found.header_place, 0, found.header_size) == b"header"
    assert desk.files.checksum(found.place, found.size) == (zlib.crc32(b"onetwo"), 6, b"onetwo")
    assert (found.crc32, found.header_crc32) == (zlib.crc32(b"onetwo"), zlib.crc32(b"header"))


def test_a_header_is_written_once(desk: Desk) -> None:
    """Fragments of one document share it."""
    first, second = desk.put(1, b"a"), desk.put(2, b"b")
    assert first.header_offset == second.header_offset
    assert desk.files.path(1, 1).read_bytes().count(b"header") == 1


def test_a_patch_replaces_bytes_and_their_checksum(desk: Desk) -> None:
    """What was written after them stays where it is."""
    found = desk.put(1, b"abcdef", patch=(2, b"XY"))
    assert desk.files.read(found.place, 0, found.size) == b"abXYef"
    assert found.crc32 == zlib.crc32(b"abXYef")


def test_an_abandoned_fragment_leaves_the_segment_usable(desk: Desk) -> None:
    """Its bytes are dead; the next one lies behind them."""
    writer = desk.writer()
    writer.write(b"header", [b"half a frag"])
    writer.abandon()
    writer.abandon()
    assert desk.released == 1
    found = desk.put(2, b"whole")
    assert desk.files.read(found.place, 0, found.size) == b"whole"


def test_a_segment_tells_its_fragments_by_itself(desk: Desk) -> None:
    """For an index that is lost; half a fragment is none."""
    kept = [desk.put(1, b"one"), desk.put(2, b"two")]
    desk.writer().write(b"header", [b"half"])
    assert desk.files.scan(1, 1) == (ARN, kept)


def test_a_failed_segment_is_not_written_again(desk: Desk) -> None:
    """The error has the system's reason."""
    writer = desk.writer()
    writer.write(b"header", [b"a"])
    assert desk.segment.open_file is not None
    os.close(desk.segment.open_file)
    with pytest.raises(ArchiveError, match="Bad file descriptor"):
        writer.write(b"header", [b"b"])
    assert desk.segment.failed
    assert desk.released == 1


def test_a_file_that_is_gone_is_told_as_gone(desk: Desk) -> None:
    """Retention took it meanwhile; that is no damage."""
    found = desk.put(1, b"one")
    desk.files.remove(1, 1)
    desk.files.remove(1, 1)
    with pytest.raises(FragmentGoneError):
        desk.files.read(found.place, 0, 1)
    assert not desk.files.path(1, 1).parent.exists()


def test_a_short_file_gives_what_there_is(desk: Desk) -> None:
    """How many bytes were read says that it was cut."""
    found = desk.put(1, b"one")
    desk.files.truncate(1, 1, found.place.offset + 2)
    assert desk.files.checksum(found.place, found.size) == (zlib.crc32(b"on"), 2, b"on")


def test_only_segments_have_sizes(desk: Desk) -> None:
    """Other files in the directory are not ours; one set aside is no segment any more."""
    size = desk.segment.size
    (desk.files.path(1, 1).parent / "notes.seg").write_bytes(b"x")
    assert desk.files.sizes() == {(1, 1): size}
    assert desk.files.set_aside(1, 1).is_file()
    assert desk.files.sizes() == {}


def test_a_number_is_used_once(desk: Desk) -> None:
    """A segment's file is never overwritten."""
    with pytest.raises(FileExistsError):
        desk.files.create(1, 1, arn=ARN)


def test_an_empty_file_tells_nothing(desk: Desk) -> None:
    """A kill may leave one."""
    desk.files.path(1, 1).write_bytes(b"")
    assert desk.files.scan(1, 1) is None
