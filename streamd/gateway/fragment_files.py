"""The local side of an archive in S3: a file for each fragment that is not, or also, there.

A file holds what its object will: the document header and the fragment. Its name is the
object's, so that after a kill, and without any index, what waits for S3 is known again; its
suffix says where it stands. The limit counts all of them, and what is also in S3 makes room.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamd.gateway.archive import StoredFragment
from streamd.gateway.errors import ArchiveError
from streamd.gateway.object_keys import fragment_name, read_name

__all__ = ["FileState", "FragmentFile", "FragmentFiles"]

_ARN: Final = "arn"


class FileState(enum.StrEnum):
    """Where a file stands; the value is its suffix."""

    WRITTEN = ".part"
    """It is being written."""
    DEAD = ".dead"
    """It was given up; somebody may be in the middle of it."""
    WAITING = ".waiting"
    """It is whole, and not in S3 yet."""
    LOCAL = ".local"
    """It is whole, and will never be in S3: the buffer of a stream with a retention of 0."""
    COPY = ".copy"
    """It is in S3, too."""


_STATES: Final = {state.value: state for state in FileState}


@dataclass(kw_only=True, eq=False)
class FragmentFile:
    """One file; changed under the lock of its ``FragmentFiles``."""

    path: Path
    stream_id: int
    segment_id: int
    state: FileState
    size: int = 0
    used: int = 0
    """Rises with every use."""


class FragmentFiles:
    """All of them. Safe for threads."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._by_segment: dict[int, FragmentFile] = {}
        self._uses = itertools.count(1)
        self._sizes = dict.fromkeys(FileState, 0)

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self._sizes.values())

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not in S3 yet."""
        return self._sizes[FileState.WAITING]

    def scan(self) -> Iterator[tuple[str, StoredFragment, FileState, Path]]:
        """Yield what a process before this one left, in order; removes what it had begun."""
        for folder in sorted(self._directory.glob("*")):
            arn_file = folder / _ARN
            arn = arn_file.read_text() if arn_file.is_file() else ""
            for path in sorted(folder.glob("*.*")):
                fragment = read_name(path.stem, stream_id=0)
                state = _STATES.get(path.suffix)
                if state in (FileState.WRITTEN, FileState.DEAD):
                    path.unlink()
                elif arn and fragment is not None and state is not None:
                    yield arn, fragment, state, path

    def add(self, fragment: StoredFragment, state: FileState, path: Path) -> FragmentFile:
        """Know a file that is there; one that is known already stays."""
        size = path.stat().st_size
        file = FragmentFile(
            path=path,
            stream_id=fragment.place.stream_id,
            segment_id=fragment.place.segment_id,
            state=state,
        )
        with self._lock:
            if file.segment_id in self._by_segment:
                return self._by_segment[file.segment_id]
            self._by_segment[file.segment_id] = file
            file.used = next(self._uses)
            self._grow(file, size)
        return file

    def get(self, segment_id: int) -> FragmentFile | None:
        """Return the file of an object."""
        with self._lock:
            file = self._by_segment.get(segment_id)
            if file is not None:
                file.used = next(self._uses)
            return file

    def create(self, stream_id: int, segment_id: int, arn: str) -> FragmentFile:
        """Create the file of a new fragment."""
        folder = self._folder(arn)
        file = FragmentFile(
            path=folder / f"{segment_id:012d}{FileState.WRITTEN}",
            stream_id=stream_id,
            segment_id=segment_id,
            state=FileState.WRITTEN,
        )
        with self._lock:
            self._by_segment[segment_id] = file
        return file

    def keep_copy(self, arn: str, fragment: StoredFragment, data: bytes) -> None:
        """Keep what was read from S3, where there is room."""
        with self._lock:
            known = fragment.place.segment_id in self._by_segment
        if known or not self._has_room(len(data), evict=(FileState.COPY,)):
            return
        path = self._folder(arn) / (fragment_name(fragment) + FileState.COPY)
        making = path.with_suffix(f".{threading.get_ident()}{FileState.WRITTEN}")
        try:
            making.write_bytes(data)
            making.rename(path)
        except OSError:
            # A disk without room: the next reader asks S3 again.
            making.unlink(missing_ok=True)
            return
        self.add(fragment, FileState.COPY, path)

    def reserve(self, file: FragmentFile, size: int) -> None:
        """Count bytes before they are written.

        Raises:
            ArchiveError: If they are beyond the limit, with all that is not in S3.

        """
        if not self._has_room(size, evict=(FileState.COPY, FileState.LOCAL)):
            raise ArchiveError(
                f"no room: {self.waiting_bytes} bytes wait for S3, "
                "'kinesis_video.max_archive_bytes' allows no more"
            )
        with self._lock:
            self._grow(file, size)

    def rename(self, file: FragmentFile, state: FileState, name: str | None = None) -> None:
        """Move a file to another state; a reader that has it open goes on."""
        path = file.path.with_name((name or file.path.stem) + state)
        with self._lock:
            if self._by_segment.get(file.segment_id) is not file:
                return
            file.path.rename(path)
            self._sizes[file.state] -= file.size
            self._sizes[state] += file.size
            file.path, file.state = path, state

    def remove(self, file: FragmentFile) -> None:
        """Remove a file; may be called twice."""
        with self._lock:
            if self._by_segment.pop(file.segment_id, None) is None:
                return
            self._sizes[file.state] -= file.size
            file.path.unlink(missing_ok=True)

    def of_stream(self, stream_id: int) -> list[FragmentFile]:
        """Return the files of a stream."""
        with self._lock:
            return [file for file in self._by_segment.values() if file.stream_id == stream_id]

    def evict(self, size: int, states: Sequence[FileState]) -> list[FragmentFile]:
        """Remove the files in these states that were used longest ago, up to ``size`` bytes."""
        with self._lock:
            found = sorted(
                (file for file in self._by_segment.values() if file.state in states),
                key=lambda file: (states.index(file.state), file.used),
            )
        gone: list[FragmentFile] = []
        for file in found:
            if size <= 0:
                break
            self.remove(file)
            size -= file.size
            gone.append(file)
        return gone

    def remove_folder(self, arn: str) -> None:
        """Remove a stream's folder, if it is empty but for its name."""
        folder = self._folder(arn, create=False)
        with contextlib.suppress(OSError):
            (folder / _ARN).unlink(missing_ok=True)
            folder.rmdir()

    def _has_room(self, size: int, *, evict: Sequence[FileState]) -> bool:
        excess = self.total_bytes + size - self._max_bytes
        if excess > 0:
            self.evict(excess, evict)
        return self.total_bytes + size <= self._max_bytes

    def _grow(self, file: FragmentFile, size: int) -> None:
        file.size += size
        self._sizes[file.state] += size

    def _folder(self, arn: str, *, create: bool = True) -> Path:
        folder = self._directory / hashlib.sha256(arn.encode()).hexdigest()[:24]
        if create and not (folder / _ARN).exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            making = folder / f"{_ARN}.{threading.get_ident()}"
            making.write_text(arn)
            making.rename(folder / _ARN)
        return folder
