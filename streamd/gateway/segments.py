"""Append-only segment files: where the bytes of archived fragments lie.

A segment belongs to one stream and holds document headers and fragments one after the other.
The index knows every offset; the records of :mod:`streamd.gateway.segment_format` between them
are for an index that is lost. Bytes that no row of the index names are dead; they go with
their segment.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamd.gateway.archive import Place, Retention, StoredFragment
from streamd.gateway.errors import ArchiveError, FragmentGoneError
from streamd.gateway.segment_format import Preamble, new_preamble, read_preamble, record, records

__all__ = ["READ_BYTES", "Segment", "SegmentFiles", "SegmentWriter"]

READ_BYTES: Final = 1024 * 1024
"""Read and checked at once."""
SUFFIX: Final = ".seg"


@dataclass(kw_only=True, slots=True)
class Segment:
    """One file, in memory."""

    segment_id: int
    stream_id: int
    size: int = 0
    counted: int = 0
    """Bytes of it that are in the archive's total."""
    newest_ms: int = 0
    """Server time its last fragment was complete; 0 when it has none."""
    opened_ms: int = 0
    busy: bool = False
    """A fragment is being written into it."""
    failed: bool = False
    """Writing failed once: it is not written again."""
    open_file: int | None = None
    """Descriptor while it may be appended to."""
    mark: bytes = b""
    """What its records begin with; known while it may be appended to."""
    header: tuple[bytes, int] | None = None
    """The last document header written, and its offset."""


class SegmentFiles:
    """The directory of segment files: paths, reading, removing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, stream_id: int, segment_id: int) -> Path:
        """Return where a segment lies."""
        return self._directory / f"{stream_id:08d}" / f"{segment_id:012d}{SUFFIX}"

    def create(self, stream_id: int, segment_id: int, *, arn: str) -> tuple[int, Preamble]:
        """Create a segment's file, so that it survives a power cut; returns the descriptor."""
        path = self.path(stream_id, segment_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        preamble = new_preamble(arn)
        try:
            _write_all(descriptor, preamble.to_bytes())
            _sync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, preamble

    def scan(self, stream_id: int, segment_id: int) -> tuple[str, list[StoredFragment]] | None:
        """Return the ARN and the fragments a segment tells of; ``None`` if it does not."""
        with self.path(stream_id, segment_id).open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return None  # mmap() refuses an empty file
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                preamble = read_preamble(data)
                if preamble is None:
                    return None
                found = records(data, preamble, stream_id=stream_id, segment_id=segment_id)
                return preamble.arn, list(found)

    def set_aside(self, stream_id: int, segment_id: int) -> Path:
        """Rename a file to a name that is no segment's; returns it."""
        path = self.path(stream_id, segment_id)
        aside = path.with_suffix(".unreadable")
        path.rename(aside)
        return aside

    def sizes(self) -> dict[tuple[int, int], int]:
        """Return the size of every file by stream and segment."""
        found: dict[tuple[int, int], int] = {}
        for path in self._directory.glob(f"*/*{SUFFIX}"):
            # A file of another name is not ours; one that is gone by now has no size.
            with contextlib.suppress(ValueError, OSError):
                found[int(path.parent.name), int(path.stem)] = path.stat().st_size
        return found

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` after a place."""
        with self._opened(place) as descriptor:
            return os.pread(descriptor, size, place.offset + offset)

    def checksum(self, place: Place, size: int) -> tuple[int, int, bytes]:
        """Read ``size`` bytes; returns their CRC-32, how many there are, and the first ones."""
        crc, total, first = 0, 0, b""
        with self._opened(place) as descriptor:
            while total < size:
                piece = os.pread(descriptor, min(READ_BYTES, size - total), place.offset + total)
                if not piece:
                    break
                first = first or piece
                crc, total = zlib.crc32(piece, crc), total + len(piece)
        return crc, total, first

    def truncate(self, stream_id: int, segment_id: int, size: int) -> None:
        """Cut a file to ``size`` bytes."""
        os.truncate(self.path(stream_id, segment_id), size)

    def remove(self, stream_id: int, segment_id: int) -> None:
        """Remove a file if it is there, and the stream's directory once that is empty."""
        path = self.path(stream_id, segment_id)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or removed by another
            path.parent.rmdir()

    @contextlib.contextmanager
    def _opened(self, place: Place) -> Iterator[int]:
        path = self.path(place.stream_id, place.segment_id)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise FragmentGoneError(place.segment_id) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class SegmentWriter:
    """One fragment on its way into a segment; see ``FragmentWriter``."""

    def __init__(
        self,
        *,
        files: SegmentFiles,
        retention: Retention,
        acquire: Callable[[], Segment],
        release: Callable[[Segment], None],
    ) -> None:
        self._files = files
        self._retention = retention
        self._acquire = acquire
        self._release = release
        self._segment: Segment | None = None
        self._header: tuple[int, int, int] = (0, 0, 0)  # offset, size, CRC-32
        self._size = 0
        self._crc = 0
        self.place: Place | None = None
        """See ``FragmentWriter.place``."""

    def write(self, header: bytes, parts: Sequence[bytes]) -> None:
        """See ``FragmentWriter.write``."""
        with self._guarded():
            if self._segment is None:
                self._begin(header)
            data = b"".join(parts)
            self._append(data)
            self._crc = zlib.crc32(data, self._crc)
            self._size += len(data)

    def finish(
        self,
        *,
        number: str,
        server_ms: int,
        server_end_ms: int,
        producer_ms: int,
        length_ms: int,
        patch: tuple[int, bytes] | None,
    ) -> StoredFragment:
        """See ``FragmentWriter.finish``."""
        with self._guarded():
            segment, place = self._segment, self.place
            assert segment is not None, "nothing was written"
            assert place is not None, "a place is set by the first write"
            if patch is not None:
                self._patch(segment, place, *patch)
            offset, size, crc = self._header
            fragment = StoredFragment(
                number=number,
                server_ms=server_ms,
                server_end_ms=server_end_ms,
                producer_ms=producer_ms,
                length_ms=length_ms,
                place=place,
                size=self._size,
                crc32=self._crc,
                header_offset=offset,
                header_size=size,
                header_crc32=crc,
            )
            self._append(record(fragment, segment.mark))
            if self._retention.durable:
                os.fdatasync(_descriptor(segment))
        segment.newest_ms = max(segment.newest_ms, server_end_ms)
        self._segment = None
        self._release(segment)
        return fragment

    def abandon(self) -> None:
        """See ``FragmentWriter.abandon``."""
        segment, self._segment = self._segment, None
        if segment is not None:
            # What was written stays as dead bytes: a slow reader may be in the middle of them.
            self._release(segment)

    def _begin(self, header: bytes) -> None:
        segment = self._segment = self._acquire()
        if segment.header is None or segment.header[0] != header:
            offset = segment.size
            self._append(header)
            segment.header = (header, offset)
        self._header = (segment.header[1], len(header), zlib.crc32(header))
        self.place = Place(
            stream_id=segment.stream_id, segment_id=segment.segment_id, offset=segment.size
        )

    def _append(self, data: bytes) -> None:
        segment = self._segment
        assert segment is not None, "a segment is acquired by the first write"
        view = memoryview(data)
        while view:
            written = os.write(_descriptor(segment), view)
            segment.size += written
            view = view[written:]

    def _patch(self, segment: Segment, place: Place, at: int, data: bytes) -> None:
        # Not through the segment's descriptor: with O_APPEND, pwrite() appends.
        path = self._files.path(segment.stream_id, segment.segment_id)
        with path.open("r+b") as file:
            file.seek(place.offset + at)
            file.write(data)
        self._crc, _, _ = self._files.checksum(place, self._size)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn the system's errors into ours; a segment that failed is not written again."""
        try:
            yield
        except OSError as error:
            segment, self._segment = self._segment, None
            if segment is not None:
                segment.failed = True
                self._release(segment)
            raise ArchiveError(f"the archive cannot be written: {error.strerror}") from error


def _descriptor(segment: Segment) -> int:
    assert segment.open_file is not None, "a busy segment is open"
    return segment.open_file


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
