"""What face detectors share: which boxes stay, and where pixels of a view lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import WHOLE_PICTURE, Box
from processors.models.face_detector import View, suppressed
from processors.picture import ArrayPicture

BOXES = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 0, 30, 10], [2, 2, 6, 6]], dtype=float)


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    """Box 0 overlaps box 1 by 0.68 of their union; the rest are apart or small."""
    kept = suppressed(BOXES, np.array([0.8, 0.9, 0.5, 0.7]), overlap=0.5)
    assert kept.tolist() == [1, 3, 2]


def test_a_box_inside_another_goes_when_the_smaller_counts() -> None:
    """Box 3 lies inside box 0: all of the smaller, a sixth of the union."""
    kept = suppressed(BOXES, np.array([0.9, 0.8, 0.5, 0.7]), overlap=0.7, of_smaller=True)
    assert kept.tolist() == [0, 2]


def test_nothing_stays_of_nothing() -> None:
    """No boxes in, none out."""
    assert suppressed(np.empty((0, 4)), np.empty(0), overlap=0.5).tolist() == []


coordinates = st.floats(0, 50, allow_nan=False)
boxes = st.tuples(coordinates, coordinates, st.floats(1, 30), st.floats(1, 30), st.floats(0, 1))


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    first = Box.from_edges(left=a[0], top=a[1], right=a[2], bottom=a[3])
    return first.iou(Box.from_edges(left=b[0], top=b[1], right=b[2], bottom=b[3]))


@given(st.lists(boxes, max_size=12))
def test_what_stays_is_apart_and_what_goes_has_a_better_one(
    rows: list[tuple[float, float, float, float, float]],
) -> None:
    """The two properties that define suppression."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    edges = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    scores = table[:, 4]
    kept = suppressed(edges, scores, overlap=0.4).tolist()
    for index in range(len(edges)):
        better = [k for k in kept if k != index and scores[k] >= scores[index]]
        overlaps = [_iou(edges[index], edges[k]) for k in better]
        if index in kept:
            assert all(value <= 0.4 + 1e-9 for value in overlaps)
        else:
            assert any(value > 0.4 - 1e-9 for value in overlaps)


def test_a_view_is_shrunk_to_its_long_side() -> None:
    """400 x 200 at most 100 long is 100 x 50; smaller pictures stay."""
    picture = ArrayPicture(np.zeros((200, 400, 3), dtype=np.uint8))
    view = View(picture, WHOLE_PICTURE, long_side_px=100)
    assert (view.width_px, view.height_px) == (100, 50)
    assert view.rgb().shape == (50, 100, 3)
    whole = View(picture, WHOLE_PICTURE, long_side_px=1000)
    assert (whole.width_px, whole.height_px) == (400, 200)


def test_pixels_of_a_view_become_ratios_of_the_picture() -> None:
    """The right half of 400 x 200, shrunk by 2: its pixel 50, 25 is the picture's 300, 50."""
    picture = ArrayPicture(np.zeros((200, 400, 3), dtype=np.uint8))
    right_half = Box(left=0.5, top=0.0, width=0.5, height=1.0)
    view = View(picture, right_half, long_side_px=100)
    face = view.face(np.array([50, 25, 100, 50]), np.full((5, 2), 25.0), 0.5)
    assert (face.box.left, face.box.top) == pytest.approx((0.75, 0.25))
    assert (face.box.right, face.box.bottom) == pytest.approx((1.0, 0.5))
    assert face.landmarks[0].tolist() == pytest.approx([0.625, 0.25])
