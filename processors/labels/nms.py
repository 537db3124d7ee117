"""Non-maximum suppression: of boxes that mean one object, keep the best."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["OverlapMeasure", "suppress"]

OverlapMeasure = Literal["union", "smaller"]
"""Common area by that of both together, or by that of the smaller box (parts of one object)."""


def suppress(
    edges: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
    *,
    max_overlap: float,
    measure: OverlapMeasure = "union",
) -> NDArray[np.intp]:
    """Return the rows to keep, best first.

    A row goes when it overlaps a kept row of higher score by more than ``max_overlap``. Equal
    scores keep the order they came in.

    Args:
        edges: Rows of left, top, right, bottom, in any unit.
        scores: One for each row.
        max_overlap: Largest overlap two objects may have, 0 to 1.
        measure: How overlap is measured.

    """
    order = np.argsort(-scores, kind="stable")
    too_close = _overlaps(edges[order], measure) > max_overlap
    alive = np.ones(len(order), dtype=np.bool_)
    for row in range(len(order)):
        if alive[row]:
            alive[row + 1 :] &= ~too_close[row, row + 1 :]
    kept: NDArray[np.intp] = order[alive]
    return kept


def _overlaps(
    edges: NDArray[np.floating[Any]], measure: OverlapMeasure
) -> NDArray[np.floating[Any]]:
    """Return the overlap of every pair; boxes without area overlap nothing."""
    corner = np.maximum(edges[:, None, :2], edges[None, :, :2])
    opposite = np.minimum(edges[:, None, 2:], edges[None, :, 2:])
    common = np.clip(opposite - corner, 0, None).prod(axis=2)
    area = np.clip(edges[:, 2:] - edges[:, :2], 0, None).prod(axis=1)
    if measure == "smaller":
        base = np.minimum(area[:, None], area[None, :])
    else:
        base = area[:, None] + area[None, :] - common
    return np.asarray(np.divide(common, base, out=np.zeros_like(common), where=base > 0))
