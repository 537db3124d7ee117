"""Brightness and sharpness follow their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from processors.faces.quality import face_quality
from processors.picture import ArrayPicture
from tests.support.faces import face_analyzer, portrait


@pytest.mark.parametrize(
    ("rgb", "brightness"),
    [((0, 0, 0), 0.0), ((255, 255, 255), 100.0), ((255, 0, 0), 29.9), ((0, 255, 0), 58.7)],
    ids=["black", "white", "red", "green"],
)
def test_brightness_is_mean_luma(rgb: tuple[int, int, int], brightness: float) -> None:
    """A flat crop has the luma of its colour and no sharpness."""
    quality = face_quality(np.full((120, 120, 3), rgb, dtype=np.uint8))
    assert quality.brightness == pytest.approx(brightness, abs=0.01)
    assert quality.sharpness == pytest.approx(0.0, abs=1e-3)


def test_sharpness_of_stripes() -> None:
    """Stripes of 0 and 2, one pixel wide, have |Laplacian| 4: 100 * (1 - exp(-4/8)) = 39.3."""
    crop = np.zeros((120, 120, 3), dtype=np.uint8)
    crop[:, ::2] = 2
    assert face_quality(crop).sharpness == pytest.approx(39.35, abs=0.01)


def test_blur_lowers_sharpness() -> None:
    """The astronaut in focus has 70, blurred by 1 pixel 37, by 2 pixels 19."""
    pictures = [portrait(), *(portrait().filter(ImageFilter.GaussianBlur(r)) for r in (1, 2))]
    analyzer = face_analyzer("builtin")
    found = [analyzer.detect(ArrayPicture(np.asarray(picture)))[0] for picture in pictures]
    sharpness = [face.quality.sharpness for face in found]
    assert sharpness == pytest.approx([70, 37, 19], abs=3)
    assert found[0].quality.brightness == pytest.approx(62, abs=2)


def _crop() -> Image.Image:
    return portrait().crop((170, 50, 290, 170))


def test_brightness_rises_with_exposure() -> None:
    """The same face under more light is brighter, up to white."""
    exposures = [ImageEnhance.Brightness(_crop()).enhance(each) for each in (0.25, 0.5, 1, 2, 20)]
    found = [face_quality(np.asarray(each)).brightness for each in exposures]
    assert found == sorted(found)
    assert found[0] < 20
    assert found[-1] > 95


def test_sharpness_falls_with_blur() -> None:
    """The more a face is blurred, the less sharp it is."""
    blurred = [_crop().filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 0.5, 1, 2, 4, 8)]
    found = [face_quality(np.asarray(each)).sharpness for each in blurred]
    assert found == sorted(found, reverse=True)
    assert found[0] > 50
    assert found[-1] < 10
