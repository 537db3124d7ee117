"""Facts about regions of interest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.api.regions import regions_from_wire, regions_to_wire
from streamd.protocol.errors import ServiceError

ratio = st.floats(0, 1)
boxes = st.builds(
    lambda left, top, width, height: {
        "BoundingBox": {"Left": left, "Top": top, "Width": width, "Height": height}
    },
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.floats(1e-6, 10),
    st.floats(1e-6, 10),
)
polygons = st.lists(st.builds(lambda x, y: {"X": x, "Y": y}, ratio, ratio), min_size=3, max_size=10)


@given(st.lists(boxes | polygons.map(lambda points: {"Polygon": points}), max_size=10))
def test_regions_are_echoed_as_given(regions: list[dict[str, Any]]) -> None:
    """Every valid list of regions comes back member for member."""
    assert regions_to_wire(regions_from_wire(regions, member="R")) == regions


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    return {"Polygon": [{"X": x, "Y": y} for x, y in points]}


@pytest.mark.parametrize(
    "region",
    [
        polygon((0.5, 0.5), (0.5, 0.5), (0.5, 0.5)),
        polygon((0, 0), (1, 1), (1, 0), (0, 1)),
        polygon(*[(n / 10, n % 2) for n in range(10)]),
        {"BoundingBox": {"Left": -0.5, "Top": -0.5, "Width": 0.6, "Height": 0.6}},
        {"BoundingBox": {"Left": 0.0, "Top": 0.0, "Width": 5.0, "Height": 5.0}},
    ],
    ids=["a point", "crossing itself", "ten points", "over the edge", "larger than the frame"],
)
def test_odd_regions_that_are_accepted(region: dict[str, Any]) -> None:
    """Degenerate and self-crossing polygons, and boxes over the edge, are accepted."""
    assert len(regions_from_wire([region], member="R")) == 1


def box(**changes: float | None) -> dict[str, Any]:
    whole = {"Left": 0.1, "Top": 0.1, "Width": 0.5, "Height": 0.5, **changes}
    return {"BoundingBox": {member: v for member, v in whole.items() if v is not None}}


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({}, "R[1] needs exactly one of BoundingBox and Polygon."),
        (box(Left=None), "R[1].BoundingBox needs Left."),
        ({"BoundingBox": {}}, "R[1].BoundingBox needs Left, Top, Width, Height."),
        (box(Width=0.0), "R[1].BoundingBox needs a Width and a Height above 0."),
        (box(Height=-0.1), "R[1].BoundingBox needs a Width and a Height above 0."),
        (box(Left=1.0), "R[1].BoundingBox lies outside the frame, whose ratios run from 0 to 1."),
        (box(Top=-0.5), "R[1].BoundingBox lies outside the frame, whose ratios run from 0 to 1."),
        (polygon(), "R[1].Polygon needs 3 to 10 points, got 0."),
        (polygon(*[(0.5, 0.5)] * 11), "R[1].Polygon needs 3 to 10 points, got 11."),
        (
            polygon((0, 0), (1.1, 0), (1, 1)),
            "R[1].Polygon needs points with X and Y from 0 to 1.",
        ),
        ({"Polygon": [{"X": 0.5}] * 3}, "R[1].Polygon needs points with X and Y from 0 to 1."),
    ],
    ids=range(11),
)
def test_regions_that_are_refused(region: dict[str, Any], message: str) -> None:
    """The refusal names the region, the member and the rule."""
    with pytest.raises(ServiceError) as caught:
        regions_from_wire([region], member="R")
    assert caught.value.code == "InvalidParameterException"
    assert caught.value.message == f"Request has invalid parameters. {message}"
