"""The archive on a local disk: segment files and an index, retention, recovery.

The order that makes a kill harmless: bytes are appended to a segment, synced, and only then
named by a committed row of the index. So after a kill a file may be longer than the index
says (cut at the next start) or be unknown to it (removed), and a fragment is whole or absent.
After a power cut or a broken disk a file may be shorter or changed: fragments beyond its end
are forgotten at the start, changed ones when their checksum fails, both logged and counted.
An index that is damaged or gone is made again from the segments.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from streamd.clock import Clock
from streamd.gateway.archive import (
    FragmentWriter,
    Freed,
    Place,
    Retention,
    StoredFragment,
    TimeOrigin,
)
from streamd.gateway.errors import ArchiveError, FragmentDamagedError, FragmentGoneError
from streamd.gateway.rebuild import open_index
from streamd.gateway.segment_format import RECORD_BYTES
from streamd.gateway.segments import Segment, SegmentFiles, SegmentWriter

__all__ = ["DiskArchive"]

logger = logging.getLogger(__name__)

MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024
MIN_SEGMENT_BYTES: Final = 64 * 1024
MAX_SEGMENT_MS: Final = 10 * 60 * 1000
SEGMENTS_PER_LIMIT: Final = 10
"""A limit is kept to a tenth of itself, since only whole segments are freed."""


class DiskArchive:
    """See ``Archive``; everything lies in one directory that belongs to this process alone."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        max_bytes: int,
        on_lost: Callable[[str, int], None],
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Open the archive, creating it if it is not there.

        Args:
            directory: For index and segments.
            clock: Ages segments.
            max_bytes: Of all streams; segments are made small enough to keep to it.
            on_lost: Told of lost fragments: ``missing``, ``cut off`` or ``checksum``, how many.
            free_bytes: Says how many bytes the disk has above what it shall keep free; negative
                when it is short. ``None``: it never is.

        Raises:
            ArchiveError: If it cannot be opened.

        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ArchiveError(f"{directory} cannot be used: {error.strerror}") from error
        self._files = SegmentFiles(directory / "segments")
        with _mapped_errors():
            self._index = open_index(directory / "archive.sqlite", self._files)
        self._clock = clock
        self._max_bytes = max_bytes
        self._on_lost = on_lost
        self._free_bytes = free_bytes
        self._lock = threading.Lock()  # guards _segments, _active and total_bytes
        self._segments: dict[int, Segment] = {}
        self._active: dict[int, Segment] = {}  # by stream: what the next fragment goes into
        self.total_bytes = 0
        """See ``Archive.total_bytes``."""

    @property
    def waiting_bytes(self) -> int:
        """See ``Archive.waiting_bytes``."""
        return 0

    def recover(self) -> None:
        """See ``Archive.recover``."""
        with _mapped_errors():
            on_disk = self._files.sizes()
            for row in self._index.segments():
                size = on_disk.pop((row.stream_id, row.segment_id), None)
                if size is None or not row.end:
                    self._forget_segment(row.stream_id, row.segment_id, missing=size is None)
                    continue
                end = row.end + RECORD_BYTES  # behind its last fragment
                if size < row.end:
                    self._lost("cut off", self._index.cut_segment(row.segment_id, size))
                elif size > end:
                    self._files.truncate(row.stream_id, row.segment_id, end)
                segment = Segment(
                    segment_id=row.segment_id,
                    stream_id=row.stream_id,
                    size=min(size, end),
                    counted=min(size, end),
                    newest_ms=row.newest_ms,
                )
                self._segments[row.segment_id] = segment
                self.total_bytes += segment.size
            for stream_id, segment_id in on_disk:
                self._files.remove(stream_id, segment_id)

    def close(self) -> None:
        """See ``Archive.close``."""
        with self._lock:
            for segment in self._active.values():
                _seal(segment)
            self._active.clear()
        self._index.close()

    def stream_id(self, arn: str) -> int:
        """See ``Archive.stream_id``."""
        return self._index.stream_id(arn)

    def stream_arns(self) -> list[str]:
        """See ``Archive.stream_arns``."""
        return list(self._index.stream_ids())

    def remove_stream(self, arn: str) -> None:
        """See ``Archive.remove_stream``."""
        removed = self._index.remove_stream(arn)
        if removed is None:
            return
        stream_id, segment_ids = removed
        with self._lock:
            active = self._active.pop(stream_id, None)
            if active is not None:
                _seal(active)
            for segment_id in segment_ids:
                segment = self._segments.pop(segment_id, None)
                self.total_bytes -= segment.counted if segment else 0
        with _mapped_errors():
            for segment_id in segment_ids:
                self._files.remove(stream_id, segment_id)

    def begin(self, stream_id: int, retention: Retention) -> FragmentWriter:
        """See ``Archive.begin``."""
        return SegmentWriter(
            files=self._files,
            retention=retention,
            acquire=lambda: self._acquire(stream_id, retention),
            release=self._release,
        )

    def commit(self, fragments: Sequence[StoredFragment], *, durable: bool) -> None:
        """See ``Archive.commit``."""
        self._index.add(fragments, durable=durable)

    def when_persisted(self, fragment: StoredFragment, done: Callable[[], None]) -> None:
        """See ``Archive.when_persisted``: what is committed is."""
        del fragment
        done()

    def refresh(self, stream_id: int, *, is_new: bool = False) -> None:
        """See ``Archive.refresh``: nobody else archives here."""

    def after(
        self, stream_id: int, number: str, *, before: str | None = None, limit: int
    ) -> list[StoredFragment]:
        """See ``Archive.after``."""
        return self._index.after(stream_id, number, before=before, limit=limit)

    def newest(self, stream_id: int) -> StoredFragment | None:
        """See ``Archive.newest``."""
        return self._index.newest(stream_id)

    def find(self, stream_id: int, number: str) -> StoredFragment | None:
        """See ``Archive.find``."""
        return self._index.find(stream_id, number)

    def at(self, stream_id: int, origin: TimeOrigin, ms: int) -> StoredFragment | None:
        """See ``Archive.at``."""
        return self._index.at(stream_id, origin, ms)

    def between(
        self,
        stream_id: int,
        origin: TimeOrigin,
        *,
        start_ms: int,
        end_ms: int,
        after: str,
        limit: int,
    ) -> list[StoredFragment]:
        """See ``Archive.between``."""
        return self._index.between(
            stream_id, origin, start_ms=start_ms, end_ms=end_ms, after=after, limit=limit
        )

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """See ``Archive.read``."""
        with _mapped_errors():
            return self._files.read(place, offset, size)

    def header(self, fragment: StoredFragment) -> bytes:
        """See ``Archive.header``."""
        return self._checked(
            fragment, fragment.header_place, fragment.header_size, fragment.header_crc32
        )

    def check(self, fragment: StoredFragment) -> bytes:
        """See ``Archive.check``."""
        return self._checked(fragment, fragment.place, fragment.size, fragment.crc32)

    def _checked(self, fragment: StoredFragment, place: Place, size: int, crc32: int) -> bytes:
        with _mapped_errors():
            crc, total, first = self._files.checksum(place, size)
        if total < size:
            raise FragmentDamagedError(fragment.number, "cut off")
        if crc != crc32:
            raise FragmentDamagedError(fragment.number, "checksum")
        return first

    def drop(self, fragment: StoredFragment) -> None:
        """See ``Archive.drop``."""
        self._index.remove(fragment)

    def enforce(
        self,
        retention: Mapping[str, Retention],
        *,
        max_bytes: int,
        needed: Mapping[str, str] | None = None,
    ) -> Freed:
        """See ``Archive.enforce``."""
        ids = self._index.stream_ids()
        by_stream = {ids[arn]: kept for arn, kept in retention.items() if arn in ids}
        unread = self._index.segments_after(
            {ids[arn]: number for arn, number in (needed or {}).items() if arn in ids}
        )
        with self._lock:
            doomed = self._doomed(by_stream, max_bytes)
            early = self._doomed_early(doomed, unread)
            doomed += early
            for segment in doomed:
                if self._active.get(segment.stream_id) is segment:
                    del self._active[segment.stream_id]
                    _seal(segment)
                del self._segments[segment.segment_id]
                self.total_bytes -= segment.counted
        if doomed:
            # First the rows, then the files: a reader finds a fragment whole or not at all.
            self._index.remove_segments(segment.segment_id for segment in doomed)
            with _mapped_errors():
                for segment in doomed:
                    self._files.remove(segment.stream_id, segment.segment_id)
        return Freed(
            segments=len(doomed),
            early=len(early),
            unread=sum(segment.segment_id in unread for segment in early),
        )

    def _doomed(self, by_stream: Mapping[int, Retention], max_bytes: int) -> list[Segment]:
        now_ms = int(self._clock.epoch() * 1000)
        total = self.total_bytes
        stream_bytes: dict[int, int] = {}
        for segment in self._segments.values():
            stream_bytes[segment.stream_id] = stream_bytes.get(segment.stream_id, 0) + segment.size
        doomed = []
        for segment in self._freeable():
            kept = by_stream.get(segment.stream_id)
            own = stream_bytes[segment.stream_id]
            limit = kept.max_bytes if kept else None
            if (
                total > max_bytes
                or (limit is not None and own > limit)
                or (kept is not None and segment.newest_ms + kept.max_age_ms < now_ms)
            ):
                doomed.append(segment)
                total -= segment.size
                stream_bytes[segment.stream_id] = own - segment.size
        return doomed

    def _doomed_early(self, doomed: Sequence[Segment], unread: set[int]) -> list[Segment]:
        """Return what has to go because the disk is short, what nobody needs first."""
        short = -self._free_bytes() if self._free_bytes is not None else 0
        short -= sum(segment.size for segment in doomed)
        gone = {segment.segment_id for segment in doomed}
        left = [segment for segment in self._freeable() if segment.segment_id not in gone]
        early: list[Segment] = []
        for segment in sorted(left, key=lambda s: s.segment_id in unread):
            if short <= 0:
                break
            early.append(segment)
            short -= segment.size
        return early

    def _freeable(self) -> list[Segment]:
        """Return the segments that may go, oldest first."""
        # Numbers rise with time; a segment without a fragment is being filled, or dead.
        return sorted(
            (
                segment
                for segment in self._segments.values()
                if not segment.busy and (segment.newest_ms or segment.open_file is None)
            ),
            key=lambda segment: (segment.newest_ms, segment.segment_id),
        )

    def _acquire(self, stream_id: int, retention: Retention) -> Segment:
        """Return the segment for the stream's next fragment, rolled over where it is due."""
        now_ms = int(self._clock.epoch() * 1000)
        with self._lock:
            segment = self._active.get(stream_id)
            if segment is not None and not self._is_full(segment, retention, now_ms):
                segment.busy = True
                return segment
            self._active.pop(stream_id, None)
            if segment is not None:
                _seal(segment)
        segment_id = self._index.new_segment(stream_id)
        arn = self._index.arn_of(stream_id)
        if arn is None:
            raise ArchiveError(f"stream {stream_id} is no longer archived")
        open_file, preamble = self._files.create(stream_id, segment_id, arn=arn)
        segment = Segment(
            segment_id=segment_id,
            stream_id=stream_id,
            size=len(preamble.to_bytes()),
            opened_ms=now_ms,
            busy=True,
            open_file=open_file,
            mark=preamble.mark,
        )
        with self._lock:
            self._segments[segment_id] = self._active[stream_id] = segment
        return segment

    def _is_full(self, segment: Segment, retention: Retention, now_ms: int) -> bool:
        limits = [MAX_SEGMENT_BYTES, self._max_bytes // SEGMENTS_PER_LIMIT]
        if retention.max_bytes is not None:
            limits.append(retention.max_bytes // SEGMENTS_PER_LIMIT)
        age_ms = min(MAX_SEGMENT_MS, retention.max_age_ms // SEGMENTS_PER_LIMIT)
        return (
            segment.size >= max(MIN_SEGMENT_BYTES, min(limits))
            or not 0 <= now_ms - segment.opened_ms < age_ms
        )

    def _release(self, segment: Segment) -> None:
        with self._lock:
            segment.busy = False
            removed = segment.segment_id not in self._segments
            if not removed:
                self.total_bytes += segment.size - segment.counted
                segment.counted = segment.size
            if segment.failed or removed:
                if self._active.get(segment.stream_id) is segment:
                    del self._active[segment.stream_id]
                _seal(segment)

    def _forget_segment(self, stream_id: int, segment_id: int, *, missing: bool) -> None:
        lost = self._index.remove_segments([segment_id])
        if missing:
            self._lost("missing", lost)
        self._files.remove(stream_id, segment_id)

    def _lost(self, reason: str, count: int) -> None:
        if count > 0:
            logger.warning("archived fragments lost", extra={"reason": reason, "count": count})
            self._on_lost(reason, count)


def _seal(segment: Segment) -> None:
    if segment.open_file is not None and not segment.busy:
        os.close(segment.open_file)
        segment.open_file = None


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except FragmentGoneError:
        raise
    except OSError as error:
        raise ArchiveError(f"the archive cannot be used: {error.strerror}") from error
