"""How good a picture is: brightness, sharpness and contrast, each 0 to 100.

All three are computed from the luma Y = 0.299 R + 0.587 G + 0.114 B (Rec. 601), 0 to 255:

- brightness = 100 * mean(Y) / 255;
- sharpness = 100 * (1 - exp(-m / 8)), with m the mean absolute value of the Laplacian
  4 Y(x, y) - Y(x-1, y) - Y(x+1, y) - Y(x, y-1) - Y(x, y+1): 63 at m = 8, and it nears 100;
- contrast = 100 * std(Y) / 127.5 (RMS contrast; 127.5 is what a picture half black and half
  white has, the most there can be).

Sharpness depends on the size at which a picture is looked at; callers scale to one size first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["brightness", "contrast", "luma", "sharpness"]

# Rec. 601, the weights JPEG and most cameras use.
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
_SHARP_AT = 8.0
_MOST_SPREAD = 127.5

Luma = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def luma(rgb: NDArray[np.uint8]) -> Luma:
    """Return the luma of RGB pixels, 0 to 255, shape (height, width)."""
    # Written out: a matrix product would start threads for three columns.
    return np.asarray(rgb[..., 0] * _RED + rgb[..., 1] * _GREEN + rgb[..., 2] * _BLUE)


def brightness(y: Luma, where: Mask | None = None) -> float:
    """Return the brightness, 0 (black) to 100 (white).

    Args:
        y: Luma.
        where: The pixels that count, at least one; ``None``: all.

    """
    return _percent(float(np.mean(y if where is None else y[where], dtype=np.float64)) / 255 * 100)


def sharpness(y: Luma, where: Mask | None = None) -> float:
    """Return the sharpness, 0 (flat) to 100; 0 where no pixel has four neighbours.

    Args:
        y: Luma.
        where: The pixels that count; ``None``: all.

    """
    around = y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:]
    detail = np.abs(4 * y[1:-1, 1:-1] - around)
    counted = detail if where is None else detail[where[1:-1, 1:-1]]
    if not counted.size:
        return 0.0
    return 100 * (1 - math.exp(-float(counted.mean(dtype=np.float64)) / _SHARP_AT))


def contrast(y: Luma) -> float:
    """Return the contrast, 0 (flat) to 100 (half black, half white)."""
    return _percent(float(np.std(y, dtype=np.float64)) / _MOST_SPREAD * 100)


def _percent(value: float) -> float:
    # The weights of luma do not add up to 1 exactly in 32 bits.
    return min(100.0, max(0.0, value))
