"""YOLOX outputs made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import WHOLE_PICTURE
from processors.models.image_input import ImageInput
from processors.models.yolox import YoloX
from tests.processors.models.fakes import FakeNetwork, blank_picture, rows_of

CLASSES = 2
ROWS = 64 + 16 + 4
INPUT = ImageInput(width_px=64, height_px=64, fit="top-left")


def detector(output: NDArray[np.float32]) -> YoloX:
    """Return a YOLOX that answers this output."""
    return YoloX(FakeNetwork([output]), image_input=INPUT, class_count=CLASSES)


def output_with(row: int, values: list[float]) -> NDArray[np.float32]:
    """Return an output that is empty but for one row."""
    output = np.zeros((1, ROWS, 5 + CLASSES), dtype=np.float32)
    output[0, row] = values
    return output


def test_box_and_score() -> None:
    """Place plus offset times stride, exp of the size, objectness times class."""
    # Row 64 + 4 + 1 is column 1, row 1 of stride 16: centre (1.5, 1) x 16 = (24, 16).
    output = output_with(69, [0.5, 0.0, np.log(2), 0.0, 0.8, 0.1, 0.5])
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.3, 1: 0.3})
    assert rows_of(found) == [(1, 0.4, [0.125, 0.125, 0.625, 0.375])]


def test_aspect_is_undone() -> None:
    """In a wide picture the lower half of the input is filling and boxes are stretched back."""
    output = output_with(69, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0])  # centre (16, 16), size 16
    found = detector(output).detect(blank_picture(128, 64), WHOLE_PICTURE, floors={0: 0.3})
    assert rows_of(found) == [(0, 1.0, [0.125, 0.25, 0.375, 0.75])]


def test_wild_size_is_cut_to_the_picture() -> None:
    """A size that overflows exp covers the picture instead of failing."""
    output = output_with(0, [0.0, 0.0, 1000.0, 1000.0, 1.0, 1.0, 0.0])
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.3})
    assert rows_of(found) == [(0, 1.0, [0.0, 0.0, 1.0, 1.0])]


def test_other_outputs_are_refused() -> None:
    """An output of another shape is an error."""
    with pytest.raises(NetworkError, match=r"expected \(1, 84, 7\), got \(1, 84, 85\)"):
        detector(np.zeros((1, ROWS, 85), dtype=np.float32)).detect(
            blank_picture(), WHOLE_PICTURE, floors={0: 0.5}
        )
