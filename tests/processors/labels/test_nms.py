"""Suppression of doubles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import Box
from processors.labels.nms import suppress

numbers = st.integers(0, 20)
rows = st.lists(
    st.tuples(numbers, numbers, numbers, numbers, st.floats(0, 1, width=32)), max_size=25
)


def arrays(found: list[tuple[int, int, int, int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return edges and scores of (left, top, width, height, score) rows."""
    table = np.array(found, dtype=np.float64).reshape(-1, 5)
    edges = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    return edges, table[:, 4]


def plain_suppress(edges: np.ndarray, scores: np.ndarray, max_overlap: float) -> list[int]:
    """Do the same box by box."""
    boxes = [Box.from_edges(left=a, top=b, right=c, bottom=d) for a, b, c, d in edges]
    kept: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        if all(boxes[row].iou(boxes[other]) <= max_overlap for other in kept):
            kept.append(row)
    return kept


def test_best_of_doubles_stays() -> None:
    """Of two boxes on one object the surer one stays; a separate box is not touched."""
    edges, scores = arrays([(0, 0, 10, 10, 0.5), (1, 0, 10, 10, 0.9), (50, 0, 10, 10, 0.2)])
    assert suppress(edges, scores, max_overlap=0.6).tolist() == [1, 2]


def test_suppressed_box_suppresses_nothing() -> None:
    """A box that overlaps only a suppressed one stays."""
    edges, scores = arrays([(0, 0, 10, 10, 0.9), (2, 0, 10, 10, 0.8), (5, 0, 10, 10, 0.7)])
    assert suppress(edges, scores, max_overlap=0.5).tolist() == [0, 2]


def test_part_of_an_object_goes_by_the_smaller_box() -> None:
    """Overlap by the smaller box also takes away a part inside the whole."""
    edges, scores = arrays([(0, 0, 10, 10, 0.9), (1, 1, 3, 3, 0.8)])
    assert suppress(edges, scores, max_overlap=0.6).tolist() == [0, 1]
    assert suppress(edges, scores, max_overlap=0.6, measure="smaller").tolist() == [0]


def test_overlap_of_exactly_the_limit_is_allowed() -> None:
    """Only more than the limit suppresses; equal scores keep their order."""
    edges, scores = arrays([(0, 0, 4, 1, 0.5), (2, 0, 4, 1, 0.5)])
    assert suppress(edges, scores, max_overlap=1 / 3).tolist() == [0, 1]
    assert suppress(edges, scores, max_overlap=0.33).tolist() == [0]


def test_nothing_in_nothing_out() -> None:
    """No boxes are no problem."""
    edges, scores = arrays([])
    assert suppress(edges, scores, max_overlap=0.5).tolist() == []


@given(rows, st.sampled_from([0.0, 0.2, 0.5, 0.6, 1.0]))
def test_agrees_with_box_by_box(
    found: list[tuple[int, int, int, int, float]], max_overlap: float
) -> None:
    """The matrix form keeps what the plain loop keeps, boxes without area included."""
    edges, scores = arrays(found)
    kept = suppress(edges, scores, max_overlap=max_overlap).tolist()
    assert kept == plain_suppress(edges, scores, max_overlap)
    assert list(scores[kept]) == pytest.approx(sorted(scores[kept], reverse=True))
