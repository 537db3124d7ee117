"""YOLOv8-like outputs made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import WHOLE_PICTURE
from processors.models.image_input import ImageInput
from processors.models.yolov8 import YoloV8
from tests.processors.models.fakes import FakeNetwork, blank_picture, rows_of

INPUT = ImageInput(width_px=64, height_px=64, fit="centre")


def detector(output: NDArray[np.float32], classes: int = 3) -> YoloV8:
    """Return a YOLOv8 that answers this output."""
    return YoloV8(FakeNetwork([output]), image_input=INPUT, class_count=classes)


def test_places() -> None:
    """Columns are places; rows centre, size and class scores."""
    output = np.zeros((1, 7, 5), dtype=np.float32)
    output[0, :, 3] = [32, 32, 16, 32, 0.1, 0.2, 0.75]
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={2: 0.5, 1: 0.5})
    assert rows_of(found) == [(2, 0.75, [0.375, 0.25, 0.625, 0.75])]


def test_chosen_boxes() -> None:
    """Six columns are a box, its score and its class."""
    output = np.array(
        [[[16, 16, 48, 32, 0.9, 1], [0, 0, 64, 64, 0.9, 7], [0, 0, 9, 9, 0.2, 1]]],
        dtype=np.float32,
    )
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={1: 0.5})
    assert rows_of(found) == [(1, 0.9, [0.25, 0.25, 0.75, 0.5])]


def test_two_classes_are_not_taken_for_chosen_boxes() -> None:
    """With two classes (1, 6, places) is read by places."""
    output = np.zeros((1, 6, 6), dtype=np.float32)
    output[0, :, 0] = [32, 32, 64, 64, 0.9, 0.0]
    found = detector(output, classes=2).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.5})
    assert rows_of(found) == [(0, 0.9, [0.0, 0.0, 1.0, 1.0])]


def test_centred_picture_is_undone() -> None:
    """In a wide picture the filling above and below is taken away."""
    output = np.zeros((1, 7, 1), dtype=np.float32)
    output[0, :, 0] = [32, 32, 64, 32, 0.9, 0, 0]
    found = detector(output).detect(blank_picture(128, 64), WHOLE_PICTURE, floors={0: 0.5})
    assert rows_of(found) == [(0, 0.9, [0.0, 0.0, 1.0, 1.0])]


@pytest.mark.parametrize("shape", [(1, 8, 5), (1, 5, 7), (2, 7, 5), (7, 5)])
def test_other_outputs_are_refused(shape: tuple[int, ...]) -> None:
    """An output of another shape is an error."""
    with pytest.raises(NetworkError, match="do not look like YoloV8 with 3 classes"):
        detector(np.zeros(shape, dtype=np.float32)).detect(
            blank_picture(), WHOLE_PICTURE, floors={0: 0.5}
        )
