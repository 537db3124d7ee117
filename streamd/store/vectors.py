"""Face vectors ready for search: one file per collection, mapped by every process.

The store is the truth; the files under ``cache_dir`` are a copy that whoever finds it behind
brings up to date, change by change. Nothing here is needed to survive.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamd.clock import Clock, SystemClock
from streamd.resources import Face
from streamd.store import Store
from streamd.store.collections import CollectionState
from streamd.store.errors import NotFoundError, StoreUnavailableError
from streamd.store.vector_files import Manifest, MappedFaces, VectorFiles

__all__ = ["CollectionSnapshot", "CollectionVectors"]

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
"""A snapshot is believed this long before the store is asked for the revision again."""
MAX_DEAD_SHARE = 0.25
"""Files with more deleted rows than this are compacted."""
FACES_AT_ONCE = 16_384


class CollectionSnapshot:
    """The faces of a collection at one revision; the same object while nothing has changed."""

    def __init__(
        self, *, incarnation: str, generation: str, revision: int, mapped: MappedFaces
    ) -> None:
        self.incarnation = incarnation
        """Tells collections apart that had the same id one after the other."""
        self.generation = generation
        """Changes when faces move to other rows."""
        self.revision = revision
        self._mapped = mapped

    @property
    def vectors(self) -> NDArray[np.float32]:
        """A read-only matrix, a row for each face.

        Rows of faces deleted since are NaN, at no distance from anything.
        """
        return self._mapped.vectors

    def face(self, row: int) -> Face | None:
        """Return the face of a row, ``None`` if it was deleted since."""
        return self._mapped.face(row)

    def continues(self, earlier: CollectionSnapshot) -> bool:
        """Say whether the rows of an earlier snapshot are the first rows of this one."""
        return self.generation == earlier.generation and len(self.vectors) >= len(earlier.vectors)


@dataclass
class _Entry:
    """What this process knows of one collection."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one thread that asks the store."""
    snapshot: CollectionSnapshot | None = None
    checked_at: float = float("-inf")
    """Monotonic seconds; the snapshot was up to date then."""


class CollectionVectors:
    """Snapshots of collections, for many threads and processes."""

    def __init__(self, store: Store, cache_dir: Path, *, clock: Clock | None = None) -> None:
        self._store = store
        self._cache_dir = cache_dir
        self._clock = clock or SystemClock()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def snapshot(
        self, account_id: str, collection_id: str, *, fresh: bool = False
    ) -> CollectionSnapshot:
        """Return the faces of a collection.

        Usually without any query; the store is asked for the revision at most every half
        second, by one thread, while the others go on with what there is.

        Args:
            account_id: Owner of the collection.
            collection_id: The collection.
            fresh: Ask in any case, so that everything committed before this call is in it.

        Raises:
            NotFoundError: If there is no such collection (any more).
            StoreUnavailableError: If the store or the cache cannot be used and this process
                has no snapshot to go on with.

        """
        entry = self._entries.setdefault((account_id, collection_id), _Entry())
        held = entry.snapshot
        if held is not None and not fresh and self._is_recent(entry):
            return held
        must_wait = held is None or fresh
        if not entry.lock.acquire(blocking=must_wait):
            assert held is not None
            return held  # another thread is asking
        try:
            if entry.snapshot is not None and not fresh and self._is_recent(entry):
                return entry.snapshot
            return self._refresh(entry, account_id, collection_id, wait=must_wait)
        finally:
            entry.lock.release()

    def prune(self) -> int:
        """Forget collections that no longer exist, here and on disk; returns how many files had."""
        try:
            # In this order: a collection made in between has no directory in the list.
            directories = [path for path in self._cache_dir.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return 0
        held = list(self._entries.items())
        known = self._store.collection_incarnations()
        for name, entry in held:
            snapshot = entry.snapshot
            if snapshot is not None and snapshot.incarnation not in known:
                self._entries.pop(name, None)
        litter = [path for path in directories if path.name not in known]
        for path in litter:
            VectorFiles(path).remove()
        return len(litter)

    def holds(self, account_id: str, collection_id: str) -> bool:
        """Return whether this process holds, or is about to hold, a snapshot of the collection."""
        return (account_id, collection_id) in self._entries

    def _is_recent(self, entry: _Entry) -> bool:
        return self._clock.monotonic() - entry.checked_at < CHECK_SECONDS

    def _refresh(
        self, entry: _Entry, account_id: str, collection_id: str, *, wait: bool
    ) -> CollectionSnapshot:
        now = self._clock.monotonic()
        held = entry.snapshot
        try:
            state = self._store.collection_state(account_id, collection_id)
            if held is None or not _is_current(held, state):
                held = self._update(state, held, wait=wait)
        except NotFoundError:
            self._forget(account_id, collection_id, entry)
            raise
        except StoreUnavailableError:
            # Leases end soon after the store is gone, so this does not go on for long.
            if held is None or wait:
                raise
            logger.warning("collection not refreshed", extra={"collection": collection_id})
        entry.snapshot, entry.checked_at = held, now
        return held

    def _update(
        self, state: CollectionState, held: CollectionSnapshot | None, *, wait: bool
    ) -> CollectionSnapshot:
        files = VectorFiles(self._cache_dir / state.incarnation)
        with _mapped_errors(), files.locked(wait=wait) as is_ours:
            if not is_ours:
                assert held is not None
                return held  # another process brings the files up to date
            manifest = self._catch_up(files, state)
            return CollectionSnapshot(
                incarnation=state.incarnation,
                generation=manifest.generation,
                revision=manifest.revision,
                mapped=files.map(manifest),
            )

    def _catch_up(self, files: VectorFiles, state: CollectionState) -> Manifest:
        manifest = files.manifest()
        if manifest is None or not _can_continue(manifest, state):
            manifest = files.begin(state.vector_size)
        # A process that saw a later state may have been here before: nothing to do then.
        while manifest.revision < state.revision:
            manifest = self._next_changes(files, manifest, state)
            if manifest.dead > MAX_DEAD_SHARE * manifest.rows:
                manifest = files.compact(manifest)
            files.publish(manifest)
        return manifest

    def _next_changes(
        self, files: VectorFiles, manifest: Manifest, state: CollectionState
    ) -> Manifest:
        done = manifest.revision
        faces = self._store.added_faces(
            state.key, after=done, up_to=state.revision, limit=FACES_AT_ONCE
        )
        reached = faces[-1].sequence if len(faces) == FACES_AT_ONCE else state.revision
        manifest = files.append(manifest, faces)
        # After the faces: one deleted meanwhile is found in the list, or will be next time.
        gone = self._store.deleted_faces(state.key, after=done, up_to=reached)
        return replace(files.wipe(manifest, gone), revision=reached)

    def _forget(self, account_id: str, collection_id: str, entry: _Entry) -> None:
        self._entries.pop((account_id, collection_id), None)
        if entry.snapshot is not None:
            VectorFiles(self._cache_dir / entry.snapshot.incarnation).remove()


def _is_current(snapshot: CollectionSnapshot, state: CollectionState) -> bool:
    return snapshot.incarnation == state.incarnation and snapshot.revision >= state.revision


def _can_continue(manifest: Manifest, state: CollectionState) -> bool:
    # An empty collection learns the size of its vectors from the first face.
    return (
        manifest.vector_size == state.vector_size and manifest.revision >= state.forgotten_revision
    )


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"collection cache cannot be used: {error}") from error
