"""How good the picture of a face is: brightness and sharpness, 0 to 100."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processors.images.quality import brightness, luma, sharpness
from processors.results import Quality

__all__ = ["CROP_PX", "face_quality"]

CROP_PX = 120
"""The face box is scaled to a square of this size first, so that sharpness means detail in
proportion to the face: a small face scaled up has little."""


def face_quality(crop: NDArray[np.uint8]) -> Quality:
    """Judge the crop of a face box, scaled to ``CROP_PX`` squared, RGB.

    - brightness = 100 * mean(Y) / 255, with Y the luma of Rec. 601;
    - sharpness = 100 * (1 - exp(-m / 8)), with m the mean absolute value of the Laplacian
      4 Y(x, y) - Y(x-1, y) - Y(x+1, y) - Y(x, y-1) - Y(x, y+1): a well-lit, focused face has
      an m of about 10, and so 70.
    """
    y = luma(crop)
    return Quality(brightness=brightness(y), sharpness=sharpness(y))
