"""Similarity is a percentage that falls with distance and can be turned back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.faces.similarity import SimilarityScale

SCALE = SimilarityScale(distance_at_80=0.53, distance_at_97=0.43)


@pytest.mark.parametrize(
    ("distance", "percent"),
    [(0.0, 99.9997), (0.43, 97.0), (0.53, 80.0), (0.63, 33.1), (1.0, 0.022), (1e9, 0.0)],
)
def test_percent(distance: float, percent: float) -> None:
    """The curve goes through its two points and flattens at both ends."""
    assert SCALE.percent(distance) == pytest.approx(percent, abs=0.05)


@given(st.floats(0, 2), st.floats(0, 2))
def test_falls_with_distance(a: float, b: float) -> None:
    """The nearer of two vectors is never the less similar."""
    near, far = sorted((a, b))
    assert SCALE.percent(near) >= SCALE.percent(far)


@given(st.floats(0.1, 99.9))
def test_turns_back(percent: float) -> None:
    """distance_at is the inverse of percent."""
    assert SCALE.percent(SCALE.distance_at(percent)) == pytest.approx(percent)


def test_ends() -> None:
    """0 % is reached by everything, 100 % by nothing."""
    assert SCALE.distance_at(0) == math.inf
    assert SCALE.distance_at(100) < 0


@pytest.mark.parametrize(("at_80", "at_97"), [(0.4, 0.5), (0.4, 0.0)], ids=["rising", "zero"])
def test_points_that_make_no_curve(at_80: float, at_97: float) -> None:
    """97 % must be nearer than 80 %."""
    with pytest.raises(ValueError, match="fall with the percentage"):
        SimilarityScale(distance_at_80=at_80, distance_at_97=at_97)
