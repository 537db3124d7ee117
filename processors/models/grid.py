"""The grids over which one-stage detectors spread their outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["grid_points"]


def grid_points(
    width_px: int, height_px: int, strides: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (column, row) and stride of every place, grid after grid, row by row.

    Args:
        width_px: Width of the network's input.
        height_px: Height of the network's input.
        strides: Pixels from place to place, for each grid in the order of the output.

    """
    places, steps = [], []
    for stride in strides:
        columns, rows = -(-width_px // stride), -(-height_px // stride)
        y, x = np.mgrid[:rows, :columns]
        places.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
        steps.append(np.full(columns * rows, stride, dtype=np.float32))
    return np.concatenate(places), np.concatenate(steps)
