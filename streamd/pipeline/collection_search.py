"""Matching vectors against a collection, with one index for all sessions of the process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from processors.faces.index import FaceIndex
from streamd.resources import Collection, Face
from streamd.store.errors import NotFoundError
from streamd.store.galleries import gallery_of
from streamd.store.vectors import CollectionSnapshot, CollectionVectors

__all__ = ["CollectionSearch"]


@dataclass(frozen=True)
class _Held:
    """An index and the snapshot whose rows it names."""

    snapshot: CollectionSnapshot
    index: FaceIndex


@dataclass
class _Entry:
    """What is known of one collection."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one thread that builds."""
    held: _Held | None = None


class CollectionSearch:
    """Exact search in collections; when faces come, only they are added to the index."""

    def __init__(self, vectors: CollectionVectors) -> None:
        self._vectors = vectors
        self._lock = threading.Lock()
        self._indexes: dict[tuple[str, str], _Entry] = {}

    def search(
        self,
        account_id: str,
        collection_id: str,
        queries: NDArray[np.float32],
        *,
        limit: int,
        threshold_percent: float,
        analyzer: FaceAnalyzer,
        fresh: bool = False,
    ) -> list[list[tuple[Face, float]]]:
        """Return, for each query, the faces at or above the threshold, most similar first.

        Args:
            account_id: Owner of the collection.
            collection_id: The collection.
            queries: Vectors of shape (n, vector_size) of the analyzer.
            limit: Faces listed for one query at most.
            threshold_percent: Lowest similarity, 0 to 100.
            analyzer: The pack the vectors come from; it turns distances into percentages.
            fresh: See every face indexed before this call, instead of up to half a second ago.

        Returns:
            ``(face, similarity percent)`` for each match of each query.

        Raises:
            NotFoundError: If the collection does not exist.

        """
        held = self._held(account_id, collection_id, fresh=fresh)
        snapshot, index = held.snapshot, held.index
        if not len(index):
            # Without a face the matrix has no columns either.
            return [[] for _ in queries]
        max_distance = analyzer.distance_at(threshold_percent)
        rows = index.search(queries, limit=limit, max_distance=max_distance)
        return [
            [
                (face, max(threshold_percent, analyzer.similarity_percent(distance)))
                for row, distance in matches
                if (face := snapshot.face(row)) is not None
            ]
            for matches in rows
        ]

    def search_users(
        self,
        collection: Collection,
        query: NDArray[np.float32],
        *,
        limit: int,
        threshold_percent: float,
        analyzer: FaceAnalyzer,
    ) -> list[tuple[str, float]]:
        """Return the users whose vector is similar to one vector, most similar first.

        Every association made before this call counts.

        Args:
            collection: The collection.
            query: A vector of the analyzer.
            limit: Users listed at most.
            threshold_percent: Lowest similarity, 0 to 100.
            analyzer: The pack the vectors come from.

        Returns:
            ``(user id, similarity percent)`` for each match.

        """
        try:
            [found] = self.search(
                *gallery_of(collection),
                query[np.newaxis, :],
                limit=limit,
                threshold_percent=threshold_percent,
                analyzer=analyzer,
                fresh=True,
            )
        except NotFoundError:
            return []  # no face was ever associated
        return [(face.external_image_id or "", similarity) for face, similarity in found]

    def forget_deleted(self) -> int:
        """Forget the vectors of deleted collections, here and on disk; returns how many had some."""
        pruned = self._vectors.prune()
        with self._lock:
            for key in [key for key in self._indexes if not self._vectors.holds(*key)]:
                del self._indexes[key]
        return pruned

    def _held(self, account_id: str, collection_id: str, *, fresh: bool) -> _Held:
        key = (account_id, collection_id)
        try:
            snapshot = self._vectors.snapshot(account_id, collection_id, fresh=fresh)
        except NotFoundError:
            # Deleted faces must not live on in memory.
            with self._lock:
                self._indexes.pop(key, None)
            raise
        with self._lock:
            entry = self._indexes.setdefault(key, _Entry())
        held = entry.held
        if held is not None and _serves(held.snapshot, snapshot):
            return held
        # While another thread builds, a search that need not see the latest goes on.
        may_wait = fresh or held is None or held.snapshot.incarnation != snapshot.incarnation
        if not entry.lock.acquire(blocking=may_wait):
            assert held is not None
            return held
        try:
            if entry.held is None or not _serves(entry.held.snapshot, snapshot):
                entry.held = _built(snapshot, entry.held)
            return entry.held
        finally:
            entry.lock.release()


def _serves(held: CollectionSnapshot, wanted: CollectionSnapshot) -> bool:
    return held is wanted or (
        held.incarnation == wanted.incarnation and held.revision >= wanted.revision
    )


def _built(snapshot: CollectionSnapshot, held: _Held | None) -> _Held:
    continued = held is not None and snapshot.continues(held.snapshot)
    previous = held.index if held is not None and continued else None
    return _Held(snapshot, FaceIndex(snapshot.vectors, previous))
