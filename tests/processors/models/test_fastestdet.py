"""FastestDet outputs made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import WHOLE_PICTURE
from processors.models.fastestdet import FastestDet
from processors.models.image_input import ImageInput
from tests.processors.models.fakes import FakeNetwork, blank_picture, rows_of

INPUT = ImageInput(width_px=64, height_px=64)


def detector(output: NDArray[np.float32]) -> FastestDet:
    """Return a FastestDet of two classes that answers this output."""
    return FastestDet(FakeNetwork([output]), image_input=INPUT, class_count=2)


def test_box_and_score() -> None:
    """The centre lies beside its place, the size is a share of the input, scores are mixed."""
    output = np.zeros((1, 7, 2, 4), dtype=np.float32)
    # Row 1, column 2 of 2 x 4: centre (2 + tanh 0, 1 + tanh 0) / (4, 2), size sigmoid 0 = 1/2.
    output[0, :, 1, 2] = [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.8]
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={1: 0.3})
    assert rows_of(found) == [(1, 0.603, [0.25, 0.25, 0.75, 0.75])]


def test_offset_moves_the_centre() -> None:
    """An offset of -50 is one whole place to the left, and a wild size is the whole input."""
    output = np.zeros((1, 7, 2, 4), dtype=np.float32)
    output[0, :, 1, 2] = [1.0, -50.0, 0.0, -1000.0, 1000.0, 1.0, 0.0]
    output[0, 3, 1, 2] = -2.0
    found = detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.3})
    assert rows_of(found) == [(0, 1.0, [0.1904, 0.0, 0.3096, 1.0])]


def test_negative_scores_are_none() -> None:
    """A score a little below 0 counts as 0, not as NaN."""
    output = np.full((1, 7, 2, 2), -0.001, dtype=np.float32)
    assert len(detector(output).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.1})) == 0


@pytest.mark.parametrize("shape", [(1, 8, 2, 2), (1, 7, 4), (2, 7, 2, 2)])
def test_other_outputs_are_refused(shape: tuple[int, ...]) -> None:
    """An output of another shape is an error."""
    with pytest.raises(NetworkError, match="do not look like FastestDet with 2 classes"):
        detector(np.zeros(shape, dtype=np.float32)).detect(
            blank_picture(), WHOLE_PICTURE, floors={0: 0.5}
        )
