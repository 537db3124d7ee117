"""How good the picture of a face is: brightness and sharpness, 0 to 100."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from processors.results import Quality

__all__ = ["CROP_PX", "face_quality"]

CROP_PX = 120
"""The face box is scaled to a square of this size first, so that sharpness means detail in
proportion to the face: a small face scaled up has little."""

# Rec. 601, the weights JPEG and most cameras use.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Mean absolute Laplacian at which sharpness is 63: a well-lit, focused face has about 10.
_SHARP_AT = 8.0


def face_quality(crop: NDArray[np.uint8]) -> Quality:
    """Judge the crop of a face box, scaled to ``CROP_PX`` squared, RGB.

    - brightness = 100 * mean(Y) / 255, with Y the luma of Rec. 601;
    - sharpness = 100 * (1 - exp(-m / 8)), with m the mean absolute value of the Laplacian
      4 Y(x, y) - Y(x-1, y) - Y(x+1, y) - Y(x, y-1) - Y(x, y+1).
    """
    luma = crop.astype(np.float32) @ _LUMA
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    detail = float(np.abs(4 * luma[1:-1, 1:-1] - around).mean())
    return Quality(
        brightness=min(100.0, float(luma.mean()) / 255 * 100),
        sharpness=100 * (1 - math.exp(-detail / _SHARP_AT)),
    )
