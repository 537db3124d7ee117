"""Regions of interest: exact overlap, the more-than-half rule, the crop networks see."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import WHOLE_PICTURE, Box, Point, Polygon
from processors.roi import MAX_POLYGON_POINTS, Regions, polygon_overlap_area

ratios = st.floats(min_value=-0.3, max_value=1.3)
polygons = st.lists(st.tuples(ratios, ratios), min_size=3, max_size=8).map(
    lambda points: polygon(*points)
)
boxes = st.builds(
    lambda left, top, width, height: Box(left=left, top=top, width=width, height=height),
    ratios,
    ratios,
    st.floats(min_value=0.05, max_value=1),
    st.floats(min_value=0.05, max_value=1),
)
wild = st.floats(allow_nan=False, allow_infinity=False)


def polygon(*points: tuple[float, float]) -> Polygon:
    """Build a polygon from plain pairs."""
    return Polygon(points=tuple(Point(x=x, y=y) for x, y in points))


def box(left: float, top: float, right: float, bottom: float) -> Box:
    """Build a box from its edges."""
    return Box.from_edges(left=left, top=top, right=right, bottom=bottom)


def sampled_share(shape: Polygon, window: Box, *, steps: int = 128) -> float:
    """Return the share of window inside shape, by asking at the middle of steps x steps cells."""
    offsets = (np.arange(steps) + 0.5) / steps
    x, y = np.meshgrid(window.left + offsets * window.width, window.top + offsets * window.height)
    inside = np.zeros(x.shape, dtype=bool)
    points = [(point.x, point.y) for point in shape.points]
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        if y1 == y2:
            continue
        spans = (y1 > y) != (y2 > y)
        with np.errstate(over="ignore"):
            inside ^= spans & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return float(inside.mean())


SQUARE = polygon((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
ARROW = polygon((0, 0), (1, 0.5), (0, 1), (0.5, 0.5))
BOW_TIE = polygon((0, 0), (1, 1), (1, 0), (0, 1))
PENTAGRAM = polygon(
    *(
        (0.5 + 0.5 * math.sin(4 * math.pi * k / 5), 0.5 - 0.5 * math.cos(4 * math.pi * k / 5))
        for k in range(5)
    )
)


@pytest.mark.parametrize(
    ("shape", "window", "area"),
    [
        pytest.param(SQUARE, WHOLE_PICTURE, 0.36, id="polygon inside the box"),
        pytest.param(SQUARE, box(0.4, 0.4, 0.5, 0.5), 0.01, id="box inside the polygon"),
        pytest.param(SQUARE, box(0, 0, 0.5, 0.5), 0.09, id="corner in common"),
        pytest.param(SQUARE, box(0.8, 0.8, 1, 1), 0.0, id="a corner touches"),
        pytest.param(SQUARE, box(0.3, 0.3, 0.3, 0.9), 0.0, id="box without area"),
        pytest.param(ARROW, WHOLE_PICTURE, 0.25, id="concave"),
        pytest.param(ARROW, box(0, 0.25, 0.5, 0.75), 0.0625, id="notch of a concave one"),
        pytest.param(BOW_TIE, WHOLE_PICTURE, 0.5, id="crosses itself"),
        pytest.param(BOW_TIE, box(0, 0, 0.5, 1), 0.25, id="one wing"),
        pytest.param(polygon((0, 0), (1, 0.5), (0.5, 0.25)), WHOLE_PICTURE, 0.0, id="a line"),
        pytest.param(polygon((0.5, 0.5), (0.5, 0.5), (0.5, 0.5)), WHOLE_PICTURE, 0.0, id="a dot"),
    ],
)
def test_overlap_is_exact(shape: Polygon, window: Box, area: float) -> None:
    """The overlap of a polygon and a box is the exact area."""
    assert polygon_overlap_area(shape, window) == pytest.approx(area, abs=1e-12)


def test_middle_of_a_pentagram_is_outside() -> None:
    """The even-odd rule leaves the middle of a five-pointed star out."""
    assert polygon_overlap_area(PENTAGRAM, box(0.48, 0.48, 0.52, 0.52)) == 0.0
    # Five points of a star with radius 0.5, as known from geometry.
    assert polygon_overlap_area(PENTAGRAM, WHOLE_PICTURE) == pytest.approx(0.1937, abs=1e-3)


@given(polygons, boxes)
def test_overlap_agrees_with_sampling(shape: Polygon, window: Box) -> None:
    """The exact overlap is what asking at many places says, whatever the polygon."""
    share = polygon_overlap_area(shape, window) / window.area
    assert share == pytest.approx(sampled_share(shape, window), abs=0.06)


@given(polygons, boxes, st.floats(min_value=0.1, max_value=0.9))
def test_overlap_adds_up(shape: Polygon, window: Box, cut: float) -> None:
    """Two parts of a box overlap as much as the box."""
    middle = window.left + cut * window.width
    left = box(window.left, window.top, middle, window.bottom)
    right = box(middle, window.top, window.right, window.bottom)
    parts = polygon_overlap_area(shape, left) + polygon_overlap_area(shape, right)
    assert parts == pytest.approx(polygon_overlap_area(shape, window), abs=1e-9)


@given(polygons, boxes, st.integers(min_value=0, max_value=7))
def test_overlap_does_not_depend_on_where_the_outline_starts(
    shape: Polygon, window: Box, shift: int
) -> None:
    """Starting elsewhere or going round the other way changes nothing."""
    shift %= len(shape.points)
    turned = Polygon(points=tuple(reversed(shape.points[shift:] + shape.points[:shift])))
    expected = polygon_overlap_area(shape, window)
    assert polygon_overlap_area(turned, window) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(wild, wild), min_size=3, max_size=12))
def test_wild_coordinates_do_no_harm(points: list[tuple[float, float]]) -> None:
    """Any finite polygon gives an area from 0 to the box's."""
    area = polygon_overlap_area(polygon(*points), WHOLE_PICTURE)
    assert 0.0 <= area <= 1.0 + 1e-9


def test_no_regions_mean_the_whole_picture() -> None:
    """Without regions everything counts and the networks see all."""
    regions = Regions()
    assert regions.crop == WHOLE_PICTURE
    assert regions.contains(box(0.9, 0.9, 1.2, 1.2))


@pytest.mark.parametrize(
    ("find", "counts"),
    [
        pytest.param(box(0.4, 0.4, 0.6, 0.6), True, id="inside"),
        pytest.param(box(0.4, 0.0, 0.6, 0.39), False, id="less than half"),
        pytest.param(box(0.4, 0.1, 0.6, 0.3), False, id="exactly half"),
        pytest.param(box(0.4, 0.11, 0.6, 0.31), True, id="a little more than half"),
        pytest.param(box(0.9, 0.9, 1.0, 1.0), False, id="outside"),
        pytest.param(box(0.0, 0.0, 1.0, 1.0), False, id="much larger than the region"),
        pytest.param(box(0.5, 0.5, 0.5, 0.5), False, id="without area"),
    ],
)
@pytest.mark.parametrize(
    "shape", [pytest.param(box(0.2, 0.2, 0.8, 0.8), id="box"), pytest.param(SQUARE, id="polygon")]
)
def test_more_than_half_lies_inside(shape: Box | Polygon, find: Box, *, counts: bool) -> None:
    """A find counts when more than half of its box lies in the region."""
    assert Regions([shape]).contains(find) is counts


def test_halves_in_two_regions_do_not_add_up() -> None:
    """A find that lies half in one and half in another region does not count."""
    regions = Regions([box(0, 0, 0.5, 1), box(0.5, 0, 1, 1)])
    assert not regions.contains(box(0.4, 0.4, 0.6, 0.6))
    assert regions.contains(box(0.35, 0.4, 0.6, 0.6))


def test_overlap_share_is_a_setting() -> None:
    """A smaller share than half can be asked for."""
    regions = Regions([box(0, 0, 0.5, 1)])
    assert not regions.contains(box(0.4, 0, 0.8, 1), min_overlap=0.3)
    assert regions.contains(box(0.4, 0, 0.8, 1), min_overlap=0.2)


def test_only_what_is_in_the_picture_is_judged() -> None:
    """A face cut off by the border counts by its visible part."""
    assert Regions([box(0, 0, 0.2, 1)]).contains(box(-0.3, 0.2, 0.1, 0.6))


def test_crop_is_the_box_around_all_regions() -> None:
    """The networks see the box around all regions, cut to the picture."""
    regions = Regions([box(0.1, 0.2, 0.3, 0.4), polygon((0.5, 0.1), (1.4, 0.3), (0.6, 0.9))])
    crop = regions.crop
    assert (crop.left, crop.top, crop.right, crop.bottom) == pytest.approx((0.1, 0.1, 1.0, 0.9))


def test_regions_outside_the_picture_hold_nothing() -> None:
    """With all regions outside the picture the crop has no area and nothing counts."""
    regions = Regions([box(1.2, 0, 1.5, 1)])
    assert regions.crop.area == 0.0
    assert not regions.contains(box(0, 0, 1, 1))


def test_region_outside_does_not_widen_the_crop() -> None:
    """A region outside the picture leaves the crop to the others."""
    assert Regions([box(0.1, 0.1, 0.2, 0.2), box(2, 2, 3, 3)]).crop == box(0.1, 0.1, 0.2, 0.2)


def test_degenerate_polygon_holds_nothing() -> None:
    """Three equal points, which the service accepts, hold nothing."""
    regions = Regions([polygon((0.5, 0.5), (0.5, 0.5), (0.5, 0.5))])
    assert not regions.contains(box(0.4, 0.4, 0.6, 0.6), min_overlap=0.0)


def test_endless_polygon_is_refused() -> None:
    """A polygon with more points than can be served is refused."""
    shape = polygon(*((k / 200, 0.5) for k in range(MAX_POLYGON_POINTS + 1)))
    with pytest.raises(ValueError, match="100 points, got 101"):
        Regions([shape])
