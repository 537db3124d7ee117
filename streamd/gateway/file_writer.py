"""Writes one fragment to a file of its own: see ``FragmentWriter``."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from streamd.gateway.archive import Place, Retention, StoredFragment
from streamd.gateway.errors import ArchiveError
from streamd.gateway.fragment_files import FileState, FragmentFile, FragmentFiles
from streamd.gateway.object_keys import fragment_name

__all__ = ["FileWriter"]

_READ_BYTES: Final = 1024 * 1024


class FileWriter:
    """One fragment on its way into a file; see ``FragmentWriter``."""

    def __init__(
        self,
        *,
        files: FragmentFiles,
        retention: Retention,
        create: Callable[[], FragmentFile],
    ) -> None:
        """Prepare; nothing is made before the first write.

        Args:
            files: Count the bytes.
            retention: Of the stream.
            create: Makes the file.

        """
        self._files = files
        self._retention = retention
        self._create = create
        self._file: FragmentFile | None = None
        self._descriptor: int | None = None
        self._header = b""
        self._size = 0
        self._crc = 0
        self.place: Place | None = None
        """See ``FragmentWriter.place``."""

    def write(self, header: bytes, parts: Sequence[bytes]) -> None:
        """See ``FragmentWriter.write``."""
        with self._guarded():
            if self._file is None:
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
            file, place, descriptor = self._file, self.place, self._descriptor
            assert file is not None, "nothing was written"
            assert place is not None, "a place is set by the first write"
            assert descriptor is not None, "a file is open until it is finished"
            if patch is not None:
                at, data = patch
                os.pwrite(descriptor, data, place.offset + at)
                self._crc = _checksum(descriptor, place.offset, self._size)
            fragment = StoredFragment(
                number=number,
                server_ms=server_ms,
                server_end_ms=server_end_ms,
                producer_ms=producer_ms,
                length_ms=length_ms,
                place=place,
                size=self._size,
                crc32=self._crc,
                header_offset=0,
                header_size=len(self._header),
                header_crc32=zlib.crc32(self._header),
            )
            durable = self._retention.durable
            if durable:
                os.fdatasync(descriptor)
            self._files.rename(
                file, FileState.WAITING if durable else FileState.LOCAL, fragment_name(fragment)
            )
            if durable:
                _sync_directory(file.path.parent)
            self._close()
        return fragment

    def abandon(self) -> None:
        """See ``FragmentWriter.abandon``."""
        self._close()
        file, self._file = self._file, None
        if file is not None:
            # Not removed: a slow reader may be in the middle of it.
            self._files.rename(file, FileState.DEAD)

    def _begin(self, header: bytes) -> None:
        file = self._file = self._create()
        flags = os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC
        self._descriptor = os.open(file.path, flags, 0o600)
        self._header = header
        self._append(header)
        self.place = Place(stream_id=file.stream_id, segment_id=file.segment_id, offset=len(header))

    def _append(self, data: bytes) -> None:
        assert self._file is not None, "made by the first write"
        assert self._descriptor is not None, "opened by the first write"
        self._files.reserve(self._file, len(data))
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn the system's errors into ours; a file that failed is not written again."""
        try:
            yield
        except OSError as error:
            self._close()
            raise ArchiveError(f"the archive cannot be written: {error.strerror}") from error


def _checksum(descriptor: int, offset: int, size: int) -> int:
    crc, at = 0, 0
    while at < size:
        piece = os.pread(descriptor, min(_READ_BYTES, size - at), offset + at)
        if not piece:
            break
        crc, at = zlib.crc32(piece, crc), at + len(piece)
    return crc


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
