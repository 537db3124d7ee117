"""Scores as confidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.labels.confidence import ScoreCurve

CURVE = ScoreCurve(threshold=0.4, sure=0.6)


@pytest.mark.parametrize(
    ("score", "percent"),
    [(0.0, 0.0), (0.2, 25.0), (0.4, 50.0), (0.5, 70.0), (0.6, 90.0), (0.8, 95.0), (1.0, 100.0)],
)
def test_threshold_is_half_and_sure_is_ninety(score: float, percent: float) -> None:
    """The working threshold is told as 50 %, the sure score as 90 %, straight in between."""
    assert CURVE.percent(np.array([score]))[0] == pytest.approx(percent)
    assert CURVE.score(percent) == pytest.approx(score)


@given(
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
)
def test_rises_with_the_score(anchors: list[float], scores: list[float]) -> None:
    """A higher score is never told as a lower confidence, and there is a way back."""
    curve = ScoreCurve(threshold=min(anchors), sure=max(anchors))
    low, high = curve.percent(np.array(sorted(scores)))
    assert 0 <= low <= high <= 100
    assert curve.score(high) == pytest.approx(max(scores), abs=1e-6)


@pytest.mark.parametrize(("threshold", "sure"), [(0.0, 0.5), (0.5, 0.5), (0.6, 0.5), (0.5, 1.0)])
def test_anchors_must_rise(threshold: float, sure: float) -> None:
    """A curve that would not rise is refused."""
    with pytest.raises(ValueError, match="0 < threshold < sure < 1"):
        ScoreCurve(threshold=threshold, sure=sure)
