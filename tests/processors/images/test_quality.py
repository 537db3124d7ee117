"""Brightness, sharpness and contrast follow their formulas and rise with what they measure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageFilter

from processors.images.quality import brightness, contrast, luma, sharpness

PIXELS = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)),
)


def half_and_half(dark: int, light: int) -> np.ndarray:
    """Return the luma of a picture whose left half is dark and right half light."""
    y = np.full((10, 10), dark, dtype=np.float32)
    y[:, 5:] = light
    return y


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((0, 0, 0), 0.0), ((255, 255, 255), 100.0), ((0, 0, 255), 11.4), ((51, 51, 51), 20.0)],
    ids=["black", "white", "blue", "a-fifth"],
)
def test_brightness_of_flat_pictures(rgb: tuple[int, int, int], expected: float) -> None:
    """Brightness is the mean luma in percent; a flat picture has no sharpness and contrast."""
    y = luma(np.full((8, 8, 3), rgb, dtype=np.uint8))
    assert brightness(y) == pytest.approx(expected, abs=0.01)
    assert sharpness(y) == pytest.approx(0.0, abs=1e-3)
    assert contrast(y) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("dark", "light", "expected"), [(0, 255, 100.0), (64, 191, 49.8), (100, 100, 0.0)]
)
def test_contrast_is_the_spread_of_luma(dark: int, light: int, expected: float) -> None:
    """Half black and half white is the most there can be."""
    assert contrast(half_and_half(dark, light)) == pytest.approx(expected, abs=0.01)


def test_sharpness_of_stripes() -> None:
    """Stripes of 0 and 2, one pixel wide, have |Laplacian| 4: 100 * (1 - exp(-4/8)) = 39.3."""
    y = np.zeros((20, 20), dtype=np.float32)
    y[:, ::2] = 2
    assert sharpness(y) == pytest.approx(39.35, abs=0.01)


def test_only_the_masked_pixels_count() -> None:
    """A mask leaves the rest out."""
    y = half_and_half(51, 255)
    left = np.zeros((10, 10), dtype=np.bool_)
    left[:, :4] = True
    assert brightness(y, left) == pytest.approx(20.0, abs=1e-4)
    assert sharpness(y, left) == 0.0
    assert sharpness(y) > 50


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (9, 2)])
def test_too_small_for_sharpness(shape: tuple[int, int]) -> None:
    """Where no pixel has four neighbours there is no detail."""
    assert sharpness(np.full(shape, 7, dtype=np.float32)) == 0.0


@given(PIXELS)
def test_all_are_percentages(pixels: np.ndarray) -> None:
    """Whatever the pixels, each is 0 to 100."""
    y = luma(pixels)
    assert 0 <= brightness(y) <= 100
    assert 0 <= sharpness(y) <= 100
    assert 0 <= contrast(y) <= 100


@given(PIXELS, st.integers(0, 255))
def test_brightness_rises_with_exposure(pixels: np.ndarray, more: int) -> None:
    """More light never makes a picture darker."""
    lighter = np.minimum(pixels.astype(np.int64) + more, 255).astype(np.uint8)
    assert brightness(luma(lighter)) >= brightness(luma(pixels)) - 1e-4


@given(PIXELS, st.floats(0, 1))
def test_contrast_falls_towards_grey(pixels: np.ndarray, share: float) -> None:
    """A picture mixed with grey has as much less contrast."""
    y = luma(pixels)
    faded = (1 - share) * y + share * 128
    assert contrast(faded) == pytest.approx((1 - share) * contrast(y), abs=1e-2)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3))
def test_sharpness_falls_with_blur(seed: int, radius: float) -> None:
    """A blurred picture is less sharp, whatever was in it."""
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    blurred = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(radius))
    assert sharpness(luma(np.asarray(blurred))) < sharpness(luma(noise))
