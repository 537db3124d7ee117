"""What retention and a short disk take from an archive in S3: objects, rows, local files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from streamd.aws import AwsError
from streamd.aws_s3 import Bucket
from streamd.clock import Clock
from streamd.gateway.archive import Retention, StoredFragment
from streamd.gateway.fragment_files import FileState, FragmentFiles
from streamd.gateway.object_index import ObjectIndex
from streamd.gateway.uploads import Uploads

__all__ = ["ObjectSweep"]

logger = logging.getLogger(__name__)

EXPIRED_AT_ONCE: Final = 1000
"""Fragments of a stream that one sweep takes for their age."""


class ObjectSweep:
    """One per archive; its errors of S3 are logged once and tried again by the next sweep."""

    def __init__(
        self,
        *,
        index: ObjectIndex,
        files: FragmentFiles,
        bucket: Bucket,
        uploads: Uploads,
        clock: Clock,
        key_of: Callable[[StoredFragment], str],
        on_freed: Callable[[int], None],
    ) -> None:
        """Prepare.

        Args:
            index: Of what is archived.
            files: On the local disk.
            bucket: Where objects are deleted.
            uploads: What waits there is not wanted any more once it is too old.
            clock: Ages fragments.
            key_of: Returns the key of a fragment's object.
            on_freed: Told the segment of what had not reached S3.

        """
        self._index = index
        self._files = files
        self._bucket = bucket
        self._uploads = uploads
        self._clock = clock
        self._key_of = key_of
        self._on_freed = on_freed
        self._lock = threading.Lock()  # guards what follows
        self._written_to: set[int] = set()
        """Streams that this process archives: their limit in bytes is its business."""
        self._delete_error = ""

    def note_written_to(self, stream_id: int) -> None:
        """Say that this process archives a stream."""
        with self._lock:
            self._written_to.add(stream_id)

    def delete_objects(self, prefix: str) -> bool:
        """Delete all objects below a prefix; returns whether that worked."""
        try:
            keys = [found.key for page in self._bucket.list(prefix) for found in page]
            self._bucket.delete(keys)
        except AwsError as error:
            self._note_delete(error)
            return False
        self._note_delete(None)
        return True

    def doomed(self, stream_id: int, kept: Retention) -> list[StoredFragment]:
        """Return what a stream's retention does not keep, oldest first."""
        now_ms = int(self._clock.epoch() * 1000)
        found = self._index.ended_before(stream_id, now_ms - kept.max_age_ms, limit=EXPIRED_AT_ONCE)
        with self._lock:
            is_ours = stream_id in self._written_to
        if kept.max_bytes is not None and is_ours:
            numbers = {fragment.number for fragment in found}
            found += [
                fragment
                for fragment in self._index.beyond_bytes(stream_id, kept.max_bytes)
                if fragment.number not in numbers
            ]
        return found

    def free(self, doomed: Sequence[StoredFragment]) -> int:
        """Delete fragments: first the objects, so that a row tells of what may be left."""
        local: list[StoredFragment] = []
        stored: list[StoredFragment] = []
        for fragment in doomed:
            file = self._files.get(fragment.place.segment_id)
            if file is None or file.state is FileState.COPY:
                stored.append(fragment)
            elif file.state is FileState.LOCAL or self._uploads.discard(fragment):
                local.append(fragment)
        try:
            self._bucket.delete([self._key_of(fragment) for fragment in stored])
        except AwsError as error:
            self._note_delete(error)
            stored = []
        else:
            self._note_delete(None)
        gone = local + stored
        if gone:
            self._index.forget(gone)
        for fragment in gone:
            if (file := self._files.get(fragment.place.segment_id)) is not None:
                self._files.remove(file)
                self._on_freed(file.segment_id)
        return len(gone)

    def free_dead(self) -> None:
        """Remove the files of fragments that were given up."""
        dead = self._files.evict(1 << 62, (FileState.DEAD,))
        if dead:
            self._index.remove_segments(file.segment_id for file in dead)

    def evict(self, size: int) -> int:
        """Make room with what S3 has, too, then with the buffers of streams that keep nothing."""
        gone = self._files.evict(size, (FileState.COPY, FileState.LOCAL))
        buffered = [file.segment_id for file in gone if file.state is FileState.LOCAL]
        if buffered:
            self._index.remove_segments(buffered)
        return len(gone)

    def _note_delete(self, error: AwsError | None) -> None:
        told = "" if error is None else type(error).__name__
        with self._lock:
            before, self._delete_error = self._delete_error, told
        if error is not None and before != told:
            logger.error(
                "old fragments cannot be deleted from S3, trying again",
                extra={"bucket": self._bucket.name, "error": str(error)},
            )
