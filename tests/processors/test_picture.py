"""The door to pictures: whatever part is asked for, at whatever size, has that size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import WHOLE_PICTURE, Box
from processors.picture import ArrayPicture, pixel_rectangle

SIZES = st.integers(1, 60)


def _ramp(width: int, height: int) -> ArrayPicture:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width)[None, :]
    pixels[..., 1] = np.arange(height)[:, None]
    return ArrayPicture(pixels)


@given(SIZES, SIZES, SIZES, SIZES, st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.05, 1))
def test_result_has_the_size_asked_for(
    width: int, height: int, to_width: int, to_height: int, left: float, top: float, size: float
) -> None:
    """Also when the part happens to be as large as the result."""
    region = Box(left=left, top=top, width=size, height=size)
    picture = _ramp(width, height)
    rgb = picture.rgb(region, width_px=to_width, height_px=to_height)
    assert rgb.shape == (to_height, to_width, 3)
    luma = picture.luma(region, width_px=to_width, height_px=to_height)
    assert luma.shape == (to_height, to_width)
    assert luma.dtype == np.uint8


@given(SIZES, SIZES, st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.05, 1))
def test_part_at_its_own_size_is_the_pixels_themselves(
    width: int, height: int, left: float, top: float, size: float
) -> None:
    """Nothing is scaled, so nothing is averaged."""
    picture = _ramp(width, height)
    region = Box(left=left, top=top, width=size, height=size)
    x0, y0, x1, y1 = pixel_rectangle(picture, region)
    rgb = picture.rgb(region, width_px=x1 - x0, height_px=y1 - y0)
    assert rgb[0, :, 0].tolist() == list(range(x0, x1))
    assert rgb[:, 0, 1].tolist() == list(range(y0, y1))


def test_luma_weighs_the_colours() -> None:
    """Green is brighter than blue (Rec. 601)."""
    pixels = np.zeros((1, 3, 3), np.uint8)
    pixels[0, 0, 0] = pixels[0, 1, 1] = pixels[0, 2, 2] = 255
    luma = ArrayPicture(pixels).luma(WHOLE_PICTURE, width_px=3, height_px=1)
    assert luma[0].tolist() == [76, 150, 29]
