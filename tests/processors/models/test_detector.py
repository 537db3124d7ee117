"""What all object detectors share."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.geometry import WHOLE_PICTURE, Box
from processors.models.detector import (
    Candidates,
    Floors,
    ObjectDetector,
    edges_from_centres,
    select,
)
from processors.models.image_input import ImageInput
from tests.processors.models.fakes import FakeNetwork, blank_picture, rows_of


class Plain(ObjectDetector):
    """A family whose output is rows of left, top, right, bottom, score."""

    default_input: ClassVar[ImageInput] = ImageInput(width_px=100, height_px=100)

    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        rows = outputs[0][outputs[0][:, 4] >= floors[0]]
        classes = np.zeros(len(rows), dtype=np.intp)
        return Candidates(edges=rows[:, :4], scores=rows[:, 4], classes=classes)


def plain(*rows: list[float]) -> Plain:
    """Return a detector that finds these rows."""
    network = FakeNetwork([np.array(rows, dtype=np.float32).reshape(-1, 5)])
    return Plain(network, image_input=Plain.default_input, class_count=1)


def test_boxes_are_relative_to_the_whole_picture() -> None:
    """A box found in a region is told in ratios of the picture."""
    region = Box(left=0.5, top=0.5, width=0.5, height=0.25)
    found = plain([0, 0, 50, 100, 0.9]).detect(blank_picture(80, 80), region, floors={0: 0.1})
    assert rows_of(found) == [(0, 0.9, [0.5, 0.5, 0.75, 0.75])]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([float("nan"), 0, 10, 10, 0.9], id="nan"),
        pytest.param([10, 10, 10, 20, 0.9], id="without area"),
        pytest.param([30, 30, 20, 20, 0.9], id="inside out"),
        pytest.param([110, 0, 120, 10, 0.9], id="outside the input"),
    ],
)
def test_impossible_boxes_are_dropped(row: list[float]) -> None:
    """A box without a visible area is no find."""
    found = plain(row, [0, 0, 10, 10, 0.8]).detect(blank_picture(), WHOLE_PICTURE, floors={0: 0.1})
    assert rows_of(found) == [(0, 0.8, [0.0, 0.0, 0.1, 0.1])]


def test_infinite_boxes_fill_the_picture() -> None:
    """A box that overflowed is cut to the picture."""
    infinite = float("inf")
    found = plain([-infinite, -infinite, infinite, infinite, 0.9]).detect(
        blank_picture(), WHOLE_PICTURE, floors={0: 0.1}
    )
    assert rows_of(found) == [(0, 0.9, [0.0, 0.0, 1.0, 1.0])]


def test_select_reads_only_wanted_classes() -> None:
    """Rows are chosen by each wanted class's own floor; a row can count twice, NaN never."""
    scores = np.array([[0.9, 0.5, 0.5], [0.1, 0.3, 0.9], [np.nan, 0.2, 0.0]], dtype=np.float32)
    rows, classes, picked = select(scores, {2: 0.4, 1: 0.3})
    assert sorted(zip(rows.tolist(), classes.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]
    assert picked.min() == pytest.approx(0.3)
    assert len(select(scores, {0: 0.05})[0]) == 2
    assert len(select(scores, {})[0]) == 0


def test_centres_become_edges() -> None:
    """Centre and size become left, top, right, bottom."""
    assert edges_from_centres(np.array([[10.0, 20.0, 4.0, 6.0]])).tolist() == [[8, 17, 12, 23]]


def test_network_without_a_picture_input_is_refused() -> None:
    """A network that takes no picture is refused when it is loaded."""
    with pytest.raises(NetworkError, match="no input takes a picture"):
        Plain(FakeNetwork([], {"x": (1, 8)}), image_input=Plain.default_input, class_count=1)
