"""Exact nearest-neighbour search in the vectors of a collection.

Few rows are compared in float32. Many are first looked through as int8 codes (``codes``), which
are a quarter of the memory to read; what the codes cannot exclude is compared with the vectors
themselves, so that the answer is the same.
"""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.faces.codes import LARGEST, CodeBook, Floats
from processors.faces.near import Doubles, Nearest, QuantizedSearch, Rows

__all__ = ["FaceIndex"]

logger = logging.getLogger(__name__)

# Below, comparing in float32 is as fast as looking through the codes (measured), and those need
# not be made.
_MIN_CODED_ROWS = 16_384
# Rows compared at once: the scores of a block stay in the cache, and a memory-mapped matrix
# is never in memory as a whole.
_BLOCK_ROWS = 16_384
_EXACT_ROWS = 1024
# Squares below this are not all of a number in float32 any more.
_UNDERFLOW = 1e-29


class FaceIndex:
    """Searches a matrix of vectors by Euclidean distance; shared by threads.

    Rows of NaN match nothing, and a row may become NaN at any time.
    """

    def __init__(self, vectors: Floats, previous: FaceIndex | None = None) -> None:
        """Take the vectors as they are, without a copy.

        Args:
            vectors: Shape (n, d), float32; may be a ``np.memmap``.
            previous: An index of the first rows of the same matrix: same numbers, but for rows
                that have become NaN. What was made for it is used again.

        """
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ValueError(
                f"an index needs float32 vectors of shape (n, d), "
                f"got {vectors.dtype} {vectors.shape}"
            )
        if previous is not None and len(previous) and not _continues(vectors, previous.vectors):
            raise ValueError(
                f"an index of {previous.vectors.shape} has other rows than {vectors.shape}"
            )
        self.vectors: Floats = vectors
        self.codes: CodeBook | None = None  # of many rows
        self._coded = self._make_codes(previous.codes if previous is not None else None)
        # The rows' lengths, for the search in float32.
        self._squares = np.empty(0 if self._coded else len(vectors), dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(self._squares), _BLOCK_ROWS):
                block = vectors[start : start + _BLOCK_ROWS]
                self._squares[start : start + len(block)] = np.einsum("ij,ij->i", block, block)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def size_bytes(self) -> int:
        """Memory used beside the vectors; indexes made one from another share most of it."""
        return (self.codes.size_bytes if self.codes else 0) + self._squares.nbytes

    def search(
        self, queries: Floats, *, limit: int, max_distance: float
    ) -> list[list[tuple[int, float]]]:
        """Return for each query the nearest rows as (row, distance), nearest first.

        Args:
            queries: Shape (q, d), float32. Many at once cost less than one by one.
            limit: At most so many rows for each query; of equally near ones the lower rows.
            max_distance: Rows farther away are left out; infinity takes all.

        """
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1]:
            raise ValueError(
                f"queries need shape (q, {self.vectors.shape[1]}), got {queries.shape}"
            )
        found: list[list[tuple[int, float]]] = [[] for _ in queries]
        if limit < 1 or not max_distance >= 0 or not len(self.vectors):
            return found
        exact = queries.astype(np.float64)
        largest = np.abs(exact).max(axis=1, initial=0)
        coded = np.flatnonzero(largest <= LARGEST) if self._coded else np.empty(0, dtype=np.intp)
        if self._coded and len(coded):
            answers = self._coded.search(exact[coded], limit=limit, max_distance=max_distance)
            for i, answer in zip(coded, answers, strict=True):
                found[i] = answer
        others = np.setdiff1d(np.flatnonzero(~np.isnan(largest)), coded)
        if len(others):
            answers = self._compared(exact[others], limit, max_distance)
            for i, answer in zip(others, answers, strict=True):
                found[i] = answer
        return found

    def _make_codes(self, previous: CodeBook | None) -> QuantizedSearch | None:
        if len(self.vectors) < _MIN_CODED_ROWS:
            return None
        try:
            codes = CodeBook(self.vectors, previous)
            search = QuantizedSearch(codes, self._distances)
        except NetworkError as error:
            logger.warning("face search without codes: %s", error)
            return None
        self.codes = codes
        return search

    def _compared(
        self, queries: Doubles, limit: int, max_distance: float
    ) -> list[list[tuple[int, float]]]:
        """Search in float32, and in float64 whatever lies close to a border."""
        found = [Nearest(limit=limit, max_distance=max_distance) for _ in queries]
        with np.errstate(over="ignore", invalid="ignore"):
            single = queries.astype(np.float32)
            for start in range(0, len(self.vectors), _BLOCK_ROWS):
                block = self.vectors[start : start + _BLOCK_ROWS]
                squares = self._squares[start : start + len(block)]
                # Without lengths these are queries too large for codes: all is compared.
                products = single @ block.T if len(squares) else single
                for query, product, nearest in zip(queries, products, found, strict=True):
                    rows = _candidates(len(block), squares, product, query, nearest)
                    nearest.add(start + rows, self._distances(start + rows, query))
        return [nearest.listed() for nearest in found]

    def _distances(self, rows: Rows, query: Doubles) -> Doubles:
        """Return the exact distances of rows to a vector."""
        distances = np.empty(len(rows))
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(rows), _EXACT_ROWS):
                chosen = rows[start : start + _EXACT_ROWS]
                differences = self.vectors[chosen].astype(np.float64) - query
                squares = np.einsum("ij,ij->i", differences, differences)
                distances[start : start + len(chosen)] = np.sqrt(squares)
        return distances


def _candidates(
    count: int, squares: Floats, products: Floats, query: Doubles, nearest: Nearest
) -> Rows:
    """Return the rows of a block that may be nearer than the border."""
    square = float(query @ query)
    longest = float(np.fmax.reduce(squares, initial=square))
    if not len(squares) or not longest <= LARGEST**2:
        return np.arange(count)  # float32 is too small for these
    distances = squares - 2 * products + np.float32(square)
    # Sums of d products lose less than d / 2^24 of the lengths' product.
    slack = (len(query) + 64) * 2.0**-22 * longest + _UNDERFLOW
    border = nearest.border
    if len(distances) > nearest.wanted:
        # Rows of NaN are last, and hide none.
        kth = float(np.partition(distances, nearest.wanted - 1)[nearest.wanted - 1])
        border = border if math.isnan(kth) else min(border, kth + slack)
    return np.flatnonzero(distances <= border + slack)


def _continues(vectors: Floats, earlier: NDArray[np.float32]) -> bool:
    return vectors.shape[1] == earlier.shape[1] and len(vectors) >= len(earlier)
