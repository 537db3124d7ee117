"""Exact nearest-neighbour search in the vectors of a collection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FaceIndex"]

Floats = NDArray[np.float32]

# Rows compared at once: the scores of a block stay in the cache, and a memory-mapped matrix
# is never in memory as a whole.
_BLOCK_ROWS = 16384
# Bound on the rounding of |a|^2 - 2ab + |b|^2 in float32, as a share of |a|^2 + |b|^2. Whatever
# lies this close to a border is compared again in float64.
_ROUNDING = 4e-5


class FaceIndex:
    """Searches a matrix of vectors by Euclidean distance; shared by threads.

    Nothing is built but the rows' lengths, so that a changed collection is searched at once.
    """

    def __init__(self, vectors: Floats) -> None:
        """Take the vectors as they are, without a copy.

        Args:
            vectors: Shape (n, d), float32; may be a ``np.memmap``.

        """
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ValueError(
                f"an index needs float32 vectors of shape (n, d), "
                f"got {vectors.dtype} {vectors.shape}"
            )
        self._vectors = vectors
        self._squares = np.empty(len(vectors), dtype=np.float32)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[start : start + _BLOCK_ROWS]
            self._squares[start : start + len(block)] = np.einsum("ij,ij->i", block, block)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(
        self, queries: Floats, *, limit: int, max_distance: float
    ) -> list[list[tuple[int, float]]]:
        """Return for each query the nearest rows as (row, distance), nearest first.

        Args:
            queries: Shape (q, d), float32.
            limit: At most so many rows for each query.
            max_distance: Rows farther away are left out; infinity takes all.

        """
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise ValueError(
                f"queries need shape (q, {self._vectors.shape[1]}), got {queries.shape}"
            )
        if limit < 1 or max_distance < 0:
            return [[] for _ in queries]
        candidates = self._candidates(queries.astype(np.float32, copy=False), limit, max_distance)
        return [
            self._rescored(query, rows, limit, max_distance)
            for query, rows in zip(queries, candidates, strict=True)
        ]

    def _candidates(
        self, queries: Floats, limit: int, max_distance: float
    ) -> list[NDArray[np.intp]]:
        """Return for each query rows among which the nearest are, rounding allowed for."""
        found: list[list[NDArray[np.intp]]] = [[] for _ in queries]
        query_squares = np.einsum("ij,ij->i", queries, queries)
        for start in range(0, len(self._vectors), _BLOCK_ROWS):
            squares = self._squares[start : start + _BLOCK_ROWS]
            products = queries @ self._vectors[start : start + _BLOCK_ROWS].T
            distances = squares - 2 * products + query_squares[:, None]
            # Rows of NaN (deleted faces) match nothing and must not hide the others.
            longest = float(np.fmax.reduce(squares))
            for own, row, square in zip(found, distances, query_squares, strict=True):
                slack = _ROUNDING * (longest + float(square))
                border = max_distance**2
                if len(row) > limit:
                    border = min(border, float(np.partition(row, limit - 1)[limit - 1]))
                own.append(start + np.flatnonzero(row <= border + slack))
        return [np.concatenate([np.empty(0, dtype=np.intp), *own]) for own in found]

    def _rescored(
        self, query: Floats, rows: NDArray[np.intp], limit: int, max_distance: float
    ) -> list[tuple[int, float]]:
        differences = self._vectors[rows].astype(np.float64) - query.astype(np.float64)
        distances = np.sqrt(np.einsum("ij,ij->i", differences, differences))
        order = np.lexsort((rows, distances))[:limit]
        return [(int(rows[i]), float(distances[i])) for i in order if distances[i] <= max_distance]
