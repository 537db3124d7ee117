"""Boxes and points: what they hold, and what they have in common."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import WHOLE_PICTURE, Box, Point, Polygon

ratios = st.floats(-1, 2)
sides = st.floats(1 / 4096, 2)
boxes = st.builds(Box, left=ratios, top=ratios, width=sides, height=sides)


def box(left: float, top: float, width: float, height: float) -> Box:
    return Box(left=left, top=top, width=width, height=height)


def test_edges_middle_and_area() -> None:
    """All follow from left, top, width and height."""
    found = box(0.25, 0.5, 0.5, 0.25)
    assert (found.right, found.bottom, found.area) == (0.75, 0.75, 0.125)
    assert found.center == Point(x=0.5, y=0.625)
    assert Box.from_edges(left=0.25, top=0.5, right=0.75, bottom=0.75) == found


def test_a_box_turned_inside_out_has_no_extent() -> None:
    """Edges in the wrong order give an empty box where the first ones are."""
    turned = Box.from_edges(left=0.5, top=0.25, right=0.25, bottom=0.75)
    assert turned == box(0.5, 0.25, 0.0, 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_must_be_finite(bad: float) -> None:
    """Neither a box nor a point takes what is no number."""
    with pytest.raises(ValueError, match="finite"):
        box(0, 0, bad, 1)
    with pytest.raises(ValueError, match="finite"):
        Point(x=0, y=bad)


def test_extents_must_not_be_negative() -> None:
    """A width or height below 0 is refused, 0 is not."""
    with pytest.raises(ValueError, match="0 or more"):
        box(0, 0, 1, -0.1)
    assert box(0, 0, 0, 0).area == 0


def test_a_polygon_has_three_points() -> None:
    """Two points span nothing."""
    points = (Point(x=0, y=0), Point(x=1, y=0))
    with pytest.raises(ValueError, match="got 2"):
        Polygon(points=points)


@pytest.mark.parametrize(
    ("one", "other", "common", "iou"),
    [
        (box(0, 0, 0.5, 1), box(0.25, 0, 0.5, 1), box(0.25, 0, 0.25, 1), 1 / 3),
        (box(0, 0, 0.5, 0.5), box(0.5, 0.5, 0.5, 0.5), box(0.5, 0.5, 0, 0), 0.0),
        (box(0, 0, 0, 0), box(0, 0, 0, 0), box(0, 0, 0, 0), 0.0),
    ],
    ids=["overlapping", "touching", "empty"],
)
def test_intersection_over_union(one: Box, other: Box, common: Box, iou: float) -> None:
    """The common part is a box; two boxes without area share nothing."""
    assert one.intersection(other) == common
    assert one.iou(other) == pytest.approx(iou)


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(one: Box, other: Box) -> None:
    """0 to 1, whichever box is asked."""
    assert 0 <= one.iou(other) <= 1 + 1e-9
    assert one.iou(other) == pytest.approx(other.iou(one))


@given(boxes)
def test_clipped_boxes_lie_in_the_picture(given_box: Box) -> None:
    """Nothing of a clipped box is outside, unless all of it was."""
    found = given_box.clipped()
    if found.area > 0:
        assert found.left >= 0
        assert found.top >= 0
        assert max(found.right, found.bottom) <= 1 + 1e-9


def test_a_box_within_a_part_is_mapped_to_the_whole() -> None:
    """Half of the right half is the third quarter."""
    outer = box(0.5, 0, 0.5, 1)
    assert box(0, 0, 0.5, 1).within(outer) == box(0.5, 0, 0.25, 1)
    assert WHOLE_PICTURE.within(outer) == outer
