"""Vectors as bytes, with a bound on what was lost.

A vector ``a`` is stored as ``a' = a - centre`` in steps of its group's ``scale``:
``a' = scale * code + error``. Distances do not change with the centre, and around it the vectors
are short, so that the steps are small. Groups are encoded once and never again; an index with
more rows shares the blocks of the one before it.

What cannot be encoded (numbers so large that their squares leave float32) is *wild*: such rows
are listed and compared as they are. Rows of NaN, as deleted faces leave, are hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.models.group_minima import GROUP_ROWS, PLANE_COLUMNS, plane_count

__all__ = ["BLOCK_ROWS", "LARGEST", "SMALLEST_SCALE", "Block", "CodeBook", "Floats"]

Floats = NDArray[np.float32]

BLOCK_ROWS = 16_384
"""Rows of a block, a multiple of GROUP_ROWS."""
LARGEST = 1e15
"""Longer vectors are wild."""
SMALLEST_SCALE = 1e-15
"""Steps are not smaller, so that products of two stay within float32."""

# Rows encoded at once: they and what is computed of them stay in the processor's cache.
_CHUNK_ROWS = 512
_SAMPLE_ROWS = 512
_ZERO = 128  # codes are unsigned, this one means 0
_STEPS = 127


@dataclass(frozen=True, kw_only=True)
class Block:
    """Up to BLOCK_ROWS encoded rows; the last group is filled up with hidden rows."""

    planes: tuple[NDArray[np.uint8], ...]
    """Codes plus 128, each plane of shape (rows, PLANE_COLUMNS)."""
    offsets: Floats
    """|a'|^2 / (2 scale) of each row, infinity for hidden ones.

    The search hides rows it finds deleted, in all indexes that share the block.
    """
    scales: Floats
    """Of each group."""
    errors: Floats
    """The longest error vector of each group, at least."""
    lengths: Floats
    """The longest ``a'`` of each group, and its longest coded one, at least."""
    wild: NDArray[np.intp]
    """Rows to be compared as they are, counted from the start of the block."""
    rows: int
    """Rows of the matrix in this block; those that fill it up do not count."""

    @property
    def size_bytes(self) -> int:
        """Memory of the arrays."""
        of_groups = self.scales.nbytes + self.errors.nbytes + self.lengths.nbytes
        return sum(plane.nbytes for plane in self.planes) + self.offsets.nbytes + of_groups

    def kept(self, groups: int) -> Block:
        """Return the first groups, as a copy of what is large."""
        rows = groups * GROUP_ROWS
        return Block(
            planes=tuple(plane[:rows] for plane in self.planes),
            offsets=self.offsets[:rows],
            scales=self.scales[:groups],
            errors=self.errors[:groups],
            lengths=self.lengths[:groups],
            wild=self.wild[self.wild < rows],
            rows=rows,
        )


class CodeBook:
    """The encoded rows of a matrix."""

    def __init__(self, vectors: Floats, previous: CodeBook | None = None) -> None:
        """Encode the rows that the previous book does not have.

        Args:
            vectors: Shape (n, d).
            previous: A book of the first rows of the same matrix, some of which may have
                become NaN since.

        """
        self.columns = vectors.shape[1]
        self.rows = len(vectors)
        self.centre: Floats = _centre(vectors) if previous is None else previous.centre
        blocks = list(previous.blocks) if previous is not None else []
        if blocks and blocks[-1].rows < BLOCK_ROWS and previous and previous.rows < self.rows:
            start = (len(blocks) - 1) * BLOCK_ROWS
            kept = blocks[-1].kept(blocks[-1].rows // GROUP_ROWS)
            blocks[-1] = self._encoded(vectors[start : start + BLOCK_ROWS], kept)
        for start in range(len(blocks) * BLOCK_ROWS, self.rows, BLOCK_ROWS):
            blocks.append(self._encoded(vectors[start : start + BLOCK_ROWS], None))
        self.blocks: tuple[Block, ...] = tuple(blocks)
        self.scales = _joined([block.scales for block in blocks])
        self.errors = _joined([block.errors for block in blocks])
        self.lengths = _joined([block.lengths for block in blocks])
        self.wild = np.concatenate(
            [np.empty(0, dtype=np.intp)]
            + [block.wild + number * BLOCK_ROWS for number, block in enumerate(blocks)]
        )

    @property
    def size_bytes(self) -> int:
        """Memory of the codes and what belongs to them, shared blocks included."""
        return sum(block.size_bytes for block in self.blocks)

    def _encoded(self, vectors: Floats, kept: Block | None) -> Block:
        """Encode a block, whose first rows are there already."""
        groups = -(-len(vectors) // GROUP_ROWS)
        rows = groups * GROUP_ROWS
        count = plane_count(self.columns)
        planes = np.empty((count, rows, PLANE_COLUMNS), dtype=np.uint8)
        # What fills up is zero and changes no product.
        planes[:, len(vectors) :] = _ZERO
        planes[-1, :, self.columns - (count - 1) * PLANE_COLUMNS :] = _ZERO
        offsets = np.full(rows, np.inf, dtype=np.float32)
        scales, errors, lengths = (np.zeros(groups, dtype=np.float32) for _ in range(3))
        wild = [kept.wild] if kept is not None else []
        done = kept.rows if kept is not None else 0
        if kept is not None:
            for plane, old in zip(planes, kept.planes, strict=True):
                plane[:done] = old
            offsets[:done] = kept.offsets
            for new, held in (
                (scales, kept.scales),
                (errors, kept.errors),
                (lengths, kept.lengths),
            ):
                new[: len(held)] = held
        for start in range(done, len(vectors), _CHUNK_ROWS):
            chunk = vectors[start : start + _CHUNK_ROWS]
            group = start // GROUP_ROWS
            coded = _Chunk(chunk, self.centre)
            wild.append(start + coded.wild)
            stop, last = start + len(chunk), group + len(coded.scales)
            for number, plane in enumerate(planes):
                part = coded.codes[:, number * PLANE_COLUMNS : (number + 1) * PLANE_COLUMNS]
                plane[start:stop, : part.shape[1]] = part
            offsets[start:stop] = coded.offsets
            scales[group:last], errors[group:last] = coded.scales, coded.errors
            lengths[group:last] = coded.lengths
        return Block(
            planes=tuple(planes),
            offsets=offsets,
            scales=scales,
            errors=errors,
            lengths=lengths,
            wild=np.concatenate([np.empty(0, dtype=np.intp), *wild]),
            rows=len(vectors),
        )


class _Chunk:
    """Some rows, from the start of a group on, encoded."""

    def __init__(self, vectors: Floats, centre: Floats) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            moved = vectors - centre
            squares = np.einsum("ij,ij->i", moved, moved)
        self.wild = np.empty(0, dtype=np.intp)
        hidden = ~(squares <= LARGEST**2)  # and NaN
        if hidden.any():
            self.wild = np.flatnonzero(hidden & ~np.isnan(vectors).any(axis=1))
            moved[hidden] = 0
            squares[hidden] = 0
        starts = np.arange(0, len(vectors), GROUP_ROWS)
        highest = np.maximum(moved.max(axis=1), -moved.min(axis=1))
        largest = np.maximum.reduceat(highest, starts)
        self.scales = np.maximum(largest / np.float32(_STEPS), np.float32(SMALLEST_SCALE))
        by_row = np.repeat(self.scales, GROUP_ROWS)[: len(vectors)]
        self.offsets = squares / (2 * by_row)
        self.offsets[hidden] = np.inf
        moved *= (1 / by_row)[:, None]
        rounded = np.rint(moved)
        moved -= rounded
        rounded += _ZERO
        self.codes = rounded.astype(np.uint8)
        lost = np.sqrt(np.einsum("ij,ij->i", moved, moved))
        # Bounds, so what the arithmetic above may have lost itself comes on top.
        rounding = np.float32(1e-4 * np.sqrt(vectors.shape[1]))
        self.errors = self.scales * (np.maximum.reduceat(lost, starts) * 1.001 + rounding)
        longest = np.sqrt(np.maximum.reduceat(squares, starts))
        self.lengths = longest * np.float32(1.001) + self.errors


def _centre(vectors: Floats) -> Floats:
    """Return the median of some rows; any point would do, a middle one serves best."""
    step = max(1, len(vectors) // _SAMPLE_ROWS)
    sample = vectors[::step]
    with np.errstate(invalid="ignore"):
        usable = (np.abs(sample) <= LARGEST).all(axis=1)
    if not usable.any():
        return np.zeros(vectors.shape[1], dtype=np.float32)
    centre: Floats = np.median(sample[usable], axis=0).astype(np.float32)
    return centre


def _joined(parts: list[Floats]) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0, dtype=np.float32), *parts]).astype(np.float64)
