"""Outputs of detection transformers made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import WHOLE_PICTURE
from processors.models.detr import Detr
from processors.models.image_input import ImageInput
from tests.processors.models.fakes import FakeNetwork, blank_picture, rows_of

INPUT = ImageInput(width_px=64, height_px=32)
CLASSES = 3


def floats(values: object) -> NDArray[np.float32]:
    """Return a batch of one."""
    return np.array([values], dtype=np.float32)


def test_chosen_queries() -> None:
    """Labels, boxes and scores are read; the network is told the size of its own input."""
    network = FakeNetwork(
        [
            np.array([[2, 0, 2]]),
            floats([[16, 8, 48, 24], [0, 0, 64, 32], [0, 0, 5, 5]]),
            floats([0.9, 0.8, 0.2]),
        ],
        {"images": ("N", 3, 32, 64), "orig_target_sizes": ("N", 2)},
    )
    detector = Detr(network, image_input=INPUT, class_count=CLASSES)
    found = detector.detect(blank_picture(640, 480), WHOLE_PICTURE, floors={2: 0.4})
    assert rows_of(found) == [(2, 0.9, [0.25, 0.25, 0.75, 0.75])]
    assert network.fed["orig_target_sizes"].tolist() == [[64, 32]]
    assert network.fed["orig_target_sizes"].dtype == np.int64


def test_logits_and_boxes() -> None:
    """Logits go through a sigmoid; boxes are centre and size as ratios."""
    logits = [[0.0, -50.0, -1000.0], [-50.0, -50.0, 2.0]]
    boxes = [[0.5, 0.5, 0.2, 0.4], [0.25, 0.25, 0.5, 0.5]]
    network = FakeNetwork([floats(logits), floats(boxes)])
    detector = Detr(network, image_input=INPUT, class_count=CLASSES)
    found = detector.detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.4, 1: 0.4, 2: 0.4})
    assert rows_of(found) == [
        (2, 0.881, [0.0, 0.0, 0.5, 0.5]),
        (0, 0.5, [0.4, 0.3, 0.6, 0.7]),
    ]
    assert set(network.fed) == {"images"}


def test_one_output() -> None:
    """Boxes and scores in one piece are read too."""
    network = FakeNetwork([floats([[0.5, 0.5, 1.0, 1.0, 0.1, 0.9, 0.0]])])
    detector = Detr(network, image_input=INPUT, class_count=CLASSES)
    found = detector.detect(blank_picture(), WHOLE_PICTURE, floors={1: 0.4})
    assert rows_of(found) == [(1, 0.9, [0.0, 0.0, 1.0, 1.0])]


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 5, 8)],
        [(1, 5, 4), (1, 5, 4)],
        [(1, 5), (1, 5, 4), (1, 6)],
        [(2, 5), (2, 5, 4), (2, 5)],
        [(1, 5), (1, 5, 5), (1, 5)],
        [(5, 7)],
    ],
)
def test_other_outputs_are_refused(shapes: list[tuple[int, ...]]) -> None:
    """Outputs of other shapes are an error."""
    network = FakeNetwork([np.zeros(shape, dtype=np.float32) for shape in shapes])
    detector = Detr(network, image_input=INPUT, class_count=CLASSES)
    with pytest.raises(NetworkError, match="do not look like Detr with 3 classes"):
        detector.detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.5})
