"""Pictures in memory: any part of them, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from processors.geometry import WHOLE_PICTURE, Box
from processors.picture import ArrayPicture, pixel_rectangle


def quarters() -> ArrayPicture:
    """Eight by four pixels: red on the left, green on the right."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4, 0] = 200
    pixels[:, 4:, 1] = 200
    return ArrayPicture(pixels)


def test_the_whole_picture_comes_back_as_it_was() -> None:
    """At its own size nothing is scaled."""
    picture = quarters()
    assert (picture.width_px, picture.height_px) == (8, 4)
    pixels = picture.rgb(WHOLE_PICTURE, width_px=8, height_px=4)
    assert pixels[0, 0].tolist() == [200, 0, 0]
    assert pixels[3, 7].tolist() == [0, 200, 0]
    assert pixels.flags.c_contiguous


def test_a_part_is_scaled() -> None:
    """The right half alone is green, at any size; only at its edge an enlarged one blends."""
    right = Box(left=0.5, top=0, width=0.5, height=1)
    small = quarters().rgb(right, width_px=2, height_px=2)
    assert small.shape == (2, 2, 3)
    assert np.all(small == [0, 200, 0])
    large = quarters().rgb(right, width_px=16, height_px=12)
    assert large.shape == (12, 16, 3)
    assert np.all(large[:, 4:] == [0, 200, 0])


def test_shrinking_averages() -> None:
    """Every pixel counts: red and green halves make half of each."""
    [[pixel]] = quarters().rgb(WHOLE_PICTURE, width_px=1, height_px=1)
    assert pixel.tolist() == [100, 100, 0]


def test_luma_is_brightness() -> None:
    """Green is brighter than red (ITU-R BT.601)."""
    [[red, green]] = quarters().luma(WHOLE_PICTURE, width_px=2, height_px=1)
    assert (int(red), int(green)) == (60, 117)


@pytest.mark.parametrize(
    ("region", "rectangle"),
    [
        (Box(left=-1, top=-1, width=1.5, height=3), (0, 0, 4, 4)),
        (Box(left=0.99, top=0.99, width=0.001, height=0.001), (7, 3, 8, 4)),
        (Box(left=0.3, top=0.3, width=0.001, height=0.001), (2, 1, 3, 2)),
    ],
    ids=["over the edge", "last corner", "smaller than a pixel"],
)
def test_a_region_has_at_least_a_pixel(region: Box, rectangle: tuple[int, int, int, int]) -> None:
    """What lies outside is cut off; what is left is whole pixels, never none."""
    assert pixel_rectangle(quarters(), region) == rectangle


def test_a_region_outside_is_refused() -> None:
    """There is nothing to scale."""
    outside = Box(left=1, top=0, width=1, height=1)
    with pytest.raises(ValueError, match="outside the picture"):
        quarters().rgb(outside, width_px=1, height_px=1)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["grey", "alpha", "floats"],
)
def test_only_rgb_bytes_are_a_picture(pixels: np.ndarray) -> None:
    """Other shapes and types are refused with what came."""
    with pytest.raises(ValueError, match="uint8 pixels of shape"):
        ArrayPicture(pixels)
