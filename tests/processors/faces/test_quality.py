"""Brightness and sharpness follow their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFilter

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
