"""Rows near to queries by their codes, and exactly nothing missed.

Of ``|a - q|^2 = |a'|^2 + |q'|^2 - 2 a'q'`` the product is known from the codes up to
``|error| |q'| + |a' codes| |q' error|`` (Cauchy and Schwarz), the rest up to float32's rounding.
That gives a distance that no row of a group is nearer than. Groups are then looked at from the
lowest such bound on, and in them rows, until the next bound is beyond what was found already.
Found means compared in float64 with the vectors themselves, so the answer is that of comparing
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from processors.faces.codes import BLOCK_ROWS, SMALLEST_SCALE, CodeBook, Floats
from processors.models.group_minima import GROUP_ROWS, PLANE_COLUMNS, GroupMinima, plane_count

__all__ = ["Nearest", "QuantizedSearch"]

_BATCH = 32
# Squares below this are not all of a number in float32 any more.
_UNDERFLOW = 1e-29
_FIRST_GROUPS = 4
_SORTED_GROUPS = 512
_BLOCK_GROUPS = BLOCK_ROWS // GROUP_ROWS

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]


class Nearest:
    """The rows found for one query so far."""

    def __init__(self, *, limit: int, max_distance: float) -> None:
        self._limit = limit
        self._max_distance = max_distance
        self._rows = np.empty(0, dtype=np.intp)
        self._distances = np.empty(0)
        self.border = max_distance * max_distance
        """Rows of a larger squared distance do not belong to the answer."""

    @property
    def wanted(self) -> int:
        """How many rows it takes for a border at most."""
        return self._limit

    def add(self, rows: Rows, distances: Doubles) -> None:
        """Take the distances of rows, each row once."""
        near = distances <= self._max_distance  # NaN is not
        rows = np.concatenate([self._rows, rows[near]])
        distances = np.concatenate([self._distances, distances[near]])
        order = np.lexsort((rows, distances))[: self._limit]
        self._rows, self._distances = rows[order], distances[order]
        if len(order) == self._limit:
            self.border = min(self.border, float(self._distances[-1]) ** 2)

    def listed(self) -> list[tuple[int, float]]:
        """Return (row, distance), nearest first, of equal ones the lower row."""
        return list(zip(self._rows.tolist(), self._distances.tolist(), strict=True))


class _Query:
    """One query in codes."""

    def __init__(self, vector: Doubles, centre: Floats, scale: float, steps: int) -> None:
        self.vector = vector
        self.scale = scale
        moved = vector - centre
        self.square = float(moved @ moved)
        codes = np.clip(np.rint(moved / scale), -steps, steps)
        self.error = float(np.linalg.norm(moved - codes * scale)) * 1.000001
        padded = np.zeros(plane_count(len(vector)) * PLANE_COLUMNS, dtype=np.int8)
        padded[: len(codes)] = codes
        self.codes = padded.reshape(-1, PLANE_COLUMNS)
        # Codes of rows are 128 too large.
        self.surplus = 128.0 * float(codes.sum())


class QuantizedSearch:
    """Searches one matrix by the codes of its rows; shared by threads."""

    def __init__(self, codes: CodeBook, distances: Callable[[Rows, Doubles], Doubles]) -> None:
        """Search in these codes.

        Args:
            codes: The rows of a matrix.
            distances: Gives the exact distances of rows to a vector; NaN where the row is NaN.

        """
        self.codes = codes
        self._network = GroupMinima.of(plane_count(codes.columns))
        self._distances = distances
        # Each of the sums of d products loses less than d / 2^24 of the lengths' product.
        self._rounding = (codes.columns + 64) * 2.0**-22

    def search(
        self, queries: Doubles, *, limit: int, max_distance: float
    ) -> list[list[tuple[int, float]]]:
        """Return for each query the nearest rows; no number of one is above LARGEST."""
        largest = np.abs(queries - self.codes.centre).max(axis=1, initial=0)
        found: list[list[tuple[int, float]]] = [[] for _ in queries]
        # One scale serves a batch, so queries of a size go together.
        order = np.argsort(largest, kind="stable")
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            steps = self._network.query_range
            scale = max(float(largest[batch[-1]]) / steps, SMALLEST_SCALE)
            coded = [_Query(queries[i], self.codes.centre, scale, steps) for i in batch]
            for i, query, minima in zip(batch, coded, self._minima(coded), strict=True):
                nearest = Nearest(limit=limit, max_distance=max_distance)
                self._look(query, minima, nearest)
                found[i] = nearest.listed()
        return found

    def _minima(self, queries: list[_Query]) -> NDArray[np.float32]:
        """Return a row of the groups' minima for each query."""
        planes = [
            np.ascontiguousarray(np.stack([query.codes[i] for query in queries], axis=1))
            for i in range(len(queries[0].codes))
        ]
        per_step = np.float32(1 / queries[0].scale)
        blocks = [
            self._network.run(block.planes, planes, block.offsets * per_step)
            for block in self.codes.blocks
        ]
        return np.ascontiguousarray(np.concatenate(blocks).T)

    def _look(self, query: _Query, minima: NDArray[np.float32], nearest: Nearest) -> None:
        if len(self.codes.wild):
            self._compare(query, self.codes.wild, nearest)
        bounds = self._bounds(query)
        lows = 2 * query.scale * self.codes.scales * (minima + query.surplus) - bounds
        for groups in _ascending(lows, nearest):
            rows, row_lows = self._rows(query, groups, bounds, nearest.border)
            if len(rows) > 2 * nearest.wanted:
                # The nearest first: with them the border shuts out most others.
                part = np.argpartition(row_lows, nearest.wanted - 1)
                first, rest = part[: nearest.wanted], part[nearest.wanted :]
                self._compare(query, rows[first], nearest)
                rows = rows[rest[row_lows[rest] <= nearest.border]]
            self._compare(query, rows, nearest)

    def _bounds(self, query: _Query) -> Doubles:
        """Return, for each group, what the codes' distance may exceed the true one by."""
        codes = self.codes
        length = query.square**0.5
        lost = 2 * (codes.errors * length + codes.lengths * query.error)
        rounding = self._rounding * (codes.lengths + length) ** 2
        bounds: Doubles = lost + rounding + _UNDERFLOW - query.square
        return bounds

    def _rows(
        self, query: _Query, groups: Rows, bounds: Doubles, border: float
    ) -> tuple[Rows, Doubles]:
        """Return rows of groups that may be within the border, and their lowest distances."""
        found, lows = [], []
        numbers = groups // _BLOCK_GROUPS
        for number in np.unique(numbers):
            block = self.codes.blocks[number]
            own = groups[numbers == number]
            inside = own - number * _BLOCK_GROUPS
            products = sum(
                plane.reshape(-1, GROUP_ROWS, PLANE_COLUMNS)[inside].astype(np.float32)
                @ part.astype(np.float32)
                for plane, part in zip(block.planes, query.codes, strict=True)
            )
            offsets = block.offsets.reshape(-1, GROUP_ROWS)[inside] * np.float32(1 / query.scale)
            steps = (offsets - products).astype(np.float64) + query.surplus
            low = 2 * query.scale * self.codes.scales[own][:, None] * steps - bounds[own][:, None]
            group, row = np.nonzero((low <= border) & (offsets < np.inf))
            found.append(own[group] * GROUP_ROWS + row)
            lows.append(low[group, row])
        return np.concatenate(found), np.concatenate(lows)

    def _compare(self, query: _Query, rows: Rows, nearest: Nearest) -> None:
        if not len(rows):
            return
        rows = np.sort(rows)  # the order of the file
        distances = self._distances(rows, query.vector)
        for row in rows[np.isnan(distances)]:
            # Deleted since; it will never be back in this matrix.
            self.codes.blocks[row // BLOCK_ROWS].offsets[row % BLOCK_ROWS] = np.inf
        nearest.add(rows, distances)


def _ascending(lows: Doubles, nearest: Nearest) -> Iterator[Rows]:
    """Give groups from the nearest on, more at a time, until none can be within the border."""
    left = np.flatnonzero((lows <= nearest.border) & (lows < np.inf))
    count = _FIRST_GROUPS
    while len(left):
        if len(left) > _SORTED_GROUPS:
            # Most often the first few are enough.
            part = np.argpartition(lows[left], _SORTED_GROUPS)
            ready, left = left[part[:_SORTED_GROUPS]], left[part[_SORTED_GROUPS:]]
        else:
            ready, left = left, left[:0]
        ready = ready[np.argsort(lows[ready])]
        while len(ready):
            yield ready[:count]
            ready = ready[count:]
            ready = ready[lows[ready] <= nearest.border]
            count *= 2
        left = left[lows[left] <= nearest.border]
