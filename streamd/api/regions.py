"""RegionsOfInterest: AWS's spelling to our regions and back, with the rules of each.

A region is a bounding box or a polygon. A box must have a positive size and overlap the
frame; a polygon has 3 to 10 points inside the frame. A polygon may cross itself or have no
area (the service was seen to accept three equal points).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamd.api.refusals import invalid_parameter
from streamd.resources import RegionOfInterest

__all__ = ["regions_from_wire", "regions_to_wire"]

MIN_POLYGON_POINTS = 3
MAX_POLYGON_POINTS = 10
"""RegionOfInterest, *API Reference*; the list's own bound of 10 regions is in the model."""
_BOX_MEMBERS = ("Left", "Top", "Width", "Height")


def regions_from_wire(
    regions: Sequence[Mapping[str, Any]], *, member: str
) -> tuple[RegionOfInterest, ...]:
    """Return the regions of a request.

    Args:
        regions: The request's list.
        member: The request's member, for error texts.

    Raises:
        ServiceError: ``InvalidParameterException``.

    """
    return tuple(
        _region(region, f"{member}[{number}]") for number, region in enumerate(regions, start=1)
    )


def regions_to_wire(regions: Sequence[RegionOfInterest]) -> list[dict[str, Any]]:
    """Return regions as the service echoes them."""
    return [_to_wire(region) for region in regions]


def _region(region: Mapping[str, Any], where: str) -> RegionOfInterest:
    box, polygon = region.get("BoundingBox"), region.get("Polygon")
    if (box is None) == (polygon is None):
        raise invalid_parameter(f"{where} needs exactly one of BoundingBox and Polygon.")
    if box is not None:
        return RegionOfInterest(bounding_box=_box(box, f"{where}.BoundingBox"))
    assert polygon is not None, "one of the two is there"  # for the type checker
    return RegionOfInterest(polygon=_polygon(polygon, f"{where}.Polygon"))


def _box(box: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    missing = [member for member in _BOX_MEMBERS if member not in box]
    if missing:
        raise invalid_parameter(f"{where} needs {', '.join(missing)}.")
    left, top, width, height = (float(box[member]) for member in _BOX_MEMBERS)
    if width <= 0 or height <= 0:
        raise invalid_parameter(f"{where} needs a Width and a Height above 0.")
    if left >= 1 or top >= 1 or left + width <= 0 or top + height <= 0:
        raise invalid_parameter(f"{where} lies outside the frame, whose ratios run from 0 to 1.")
    return left, top, width, height


def _polygon(points: Sequence[Mapping[str, Any]], where: str) -> tuple[tuple[float, float], ...]:
    if not MIN_POLYGON_POINTS <= len(points) <= MAX_POLYGON_POINTS:
        raise invalid_parameter(
            f"{where} needs {MIN_POLYGON_POINTS} to {MAX_POLYGON_POINTS} points, got {len(points)}."
        )
    for point in points:
        for axis in ("X", "Y"):
            if axis not in point or not 0 <= point[axis] <= 1:
                raise invalid_parameter(f"{where} needs points with X and Y from 0 to 1.")
    return tuple((float(point["X"]), float(point["Y"])) for point in points)


def _to_wire(region: RegionOfInterest) -> dict[str, Any]:
    if region.bounding_box is not None:
        return {"BoundingBox": dict(zip(_BOX_MEMBERS, region.bounding_box, strict=True))}
    return {"Polygon": [{"X": x, "Y": y} for x, y in region.polygon or ()]}
