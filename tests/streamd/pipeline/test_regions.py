"""Regions of a stream processor as geometry."""

from __future__ import annotations

import pytest

from processors.geometry import Box
from streamd.pipeline.regions import regions_of, regions_together
from streamd.resources import RegionOfInterest

LEFT = RegionOfInterest(bounding_box=(0.0, 0.0, 0.5, 1.0))
CORNER = RegionOfInterest(polygon=((1.0, 1.0), (0.5, 1.0), (1.0, 0.5)))
INSIDE_LEFT = Box(left=0.1, top=0.1, width=0.2, height=0.2)
INSIDE_CORNER = Box(left=0.9, top=0.9, width=0.05, height=0.05)
ELSEWHERE = Box(left=0.55, top=0.05, width=0.1, height=0.1)


@pytest.mark.parametrize(
    ("regions", "kept"),
    [
        ([], [True, True, True]),
        ([LEFT], [True, False, False]),
        ([CORNER], [False, True, False]),
        ([LEFT, CORNER], [True, True, False]),
    ],
    ids=["none", "box", "polygon", "both"],
)
def test_what_lies_in_a_region_is_kept(regions: list[RegionOfInterest], kept: list[bool]) -> None:
    """No region means the whole frame."""
    found = regions_of(regions)
    boxes = (INSIDE_LEFT, INSIDE_CORNER, ELSEWHERE)
    assert [found.contains(box, min_overlap=0.5) for box in boxes] == kept


def test_together_anything_counts_that_matters_to_one() -> None:
    """Regions of several processors are joined; one that looks everywhere makes it everywhere."""
    joined = regions_together([regions_of([LEFT]), regions_of([CORNER, LEFT])])
    assert len(joined.shapes) == 2
    assert joined.contains(INSIDE_CORNER, min_overlap=0.5)
    assert not joined.contains(ELSEWHERE, min_overlap=0.5)
    everywhere = regions_together([regions_of([LEFT]), regions_of([])])
    assert everywhere.contains(ELSEWHERE, min_overlap=0.5)


def test_the_same_processors_make_the_same_regions() -> None:
    """In whatever order they come."""
    left, corner = regions_of([LEFT]), regions_of([CORNER])
    one, other = regions_together([left, corner]), regions_together([corner, left])
    assert list(one.shapes) == list(other.shapes)
