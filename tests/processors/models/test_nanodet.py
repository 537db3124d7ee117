"""NanoDet-Plus outputs made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import WHOLE_PICTURE
from processors.models.image_input import ImageInput
from processors.models.nanodet import NanoDet
from tests.processors.models.fakes import FakeNetwork, blank_picture, rows_of

CLASSES, BINS = 3, 8
# 64 px: grids of 8x8, 4x4, 2x2 and 1x1 places.
ROWS = 64 + 16 + 4 + 1
INPUT = ImageInput(width_px=64, height_px=64)


def detector(output: NDArray[np.float32]) -> NanoDet:
    """Return a NanoDet that answers this output."""
    return NanoDet(FakeNetwork([output]), image_input=INPUT, class_count=CLASSES)


def put(output: NDArray[np.float32], row: int, cls: int, score: float, bins: list[int]) -> None:
    """Write one find: the bins are those of left, top, right and bottom."""
    output[0, row, cls] = score
    for side, distance in enumerate(bins):
        output[0, row, CLASSES + side * BINS + distance] = 60.0


def test_box_reaches_its_distances_from_its_place() -> None:
    """A place on the stride-16 grid reaches bins x 16 px to each side."""
    output = np.zeros((1, ROWS, CLASSES + 4 * BINS), dtype=np.float32)
    put(output, 64 + 1 * 4 + 2, 1, 0.9, [1, 1, 1, 2])  # column 2, row 1: (32, 16)
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={1: 0.5})
    assert rows_of(found) == [(1, 0.9, [0.25, 0.0, 0.75, 0.75])]


def test_distance_is_the_mean_of_the_bins() -> None:
    """Equal weight on bins 1 and 2 is a distance of 1.5 strides; the sums don't overflow."""
    output = np.zeros((1, ROWS, CLASSES + 4 * BINS), dtype=np.float32)
    output[0, 4 * 8 + 4, 0] = 0.6  # column 4, row 4 of stride 8: (32, 32)
    for side in range(4):
        output[0, 36, CLASSES + side * BINS + 1 : CLASSES + side * BINS + 3] = 1000.0
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.5})
    assert rows_of(found) == [(0, 0.6, [0.3125, 0.3125, 0.6875, 0.6875])]


def test_unwanted_and_weak_classes_are_not_read() -> None:
    """Only wanted classes from their floor up are returned."""
    output = np.zeros((1, ROWS, CLASSES + 4 * BINS), dtype=np.float32)
    put(output, 70, 0, 0.9, [1, 1, 1, 1])
    put(output, 71, 1, 0.3, [1, 1, 1, 1])
    assert (
        len(detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={1: 0.4, 2: 0.1})) == 0
    )


@pytest.mark.parametrize(
    "shape",
    [(1, ROWS - 1, 35), (2, ROWS, 35), (1, ROWS, 34), (1, ROWS, 3), (ROWS, 35), (1, 35, ROWS)],
)
def test_other_outputs_are_refused(shape: tuple[int, ...]) -> None:
    """An output of another shape is an error that names both shapes."""
    with pytest.raises(NetworkError, match=r"do not look like NanoDet with 3 classes"):
        detector(np.zeros(shape, dtype=np.float32)).detect(
            blank_picture(), WHOLE_PICTURE, floors={0: 0.5}
        )
