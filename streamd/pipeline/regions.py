"""Regions of interest of a stream processor as the analyzers' geometry."""

from __future__ import annotations

from collections.abc import Sequence

from processors.geometry import Box, Point, Polygon
from processors.roi import Regions
from streamd.resources import RegionOfInterest

__all__ = ["regions_of", "regions_together"]


def regions_of(regions: Sequence[RegionOfInterest]) -> Regions:
    """Return the regions; none means the whole frame."""
    return Regions([_shape(region) for region in regions])


def regions_together(all_regions: Sequence[Regions]) -> Regions:
    """Return the regions of several stream processors: where anything matters to any of them."""
    if not all(regions.shapes for regions in all_regions):
        return Regions()
    shapes = dict.fromkeys(shape for regions in all_regions for shape in regions.shapes)
    # In an order of their own, so that the same processors always make the same regions.
    return Regions(sorted(shapes, key=repr))


def _shape(region: RegionOfInterest) -> Box | Polygon:
    if region.polygon is not None:
        return Polygon(points=tuple(Point(x=x, y=y) for x, y in region.polygon))
    assert region.bounding_box is not None, "the API stores a box or a polygon"
    left, top, width, height = region.bounding_box
    return Box(left=left, top=top, width=width, height=height)
