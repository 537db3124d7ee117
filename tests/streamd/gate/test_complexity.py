"""What a picture cost above the usual of its kind and quantiser."""

from __future__ import annotations

import math

import pytest

from streamd.gate.complexity import CLIP, WINDOWS, Cost, Costs, Curve, cost_of, learn
from streamd.gate.heads import PictureHead, SliceKind

P, B = ("P", False), ("B", True)


def head(kind: SliceKind, qp: float = 30, *, is_disposable: bool = False) -> PictureHead:
    return PictureHead(kind=kind, qp=qp, is_entry=False, is_disposable=is_disposable)


def test_keyframes_have_no_cost() -> None:
    """They need no other picture: what moves does not make them dearer."""
    assert cost_of(head(SliceKind.I), 90_000) is None
    assert cost_of(head(SliceKind.P), 1024) == Cost(P, 30, 10.0)
    assert cost_of(head(SliceKind.B, is_disposable=True), 0) == Cost(B, 30, 0.0)


def test_curve_goes_through_its_points_and_on_by_theory() -> None:
    """Between two points a line; beyond them one bit for six steps."""
    curve = Curve(((24.0, 12.0), (28.0, 8.0)))
    assert [curve.usual(qp) for qp in (24, 26, 28)] == [12.0, 10.0, 8.0]
    assert curve.usual(34) == pytest.approx(7.0)
    assert curve.usual(18) == pytest.approx(13.0)


def test_noise_that_falls_away_at_a_quantiser_is_learnt() -> None:
    """Pictures of the same scene cost nothing above the usual, whatever the quantiser."""
    usual = {24: 13.0, 25: 12.0, 26: 10.0, 27: 8.0, 28: 7.0}
    costs = [Cost(P, qp, size) for qp, size in usual.items() for _ in range(20)]
    curves = learn(costs)
    assert [curves[P].usual(qp) for qp in (25, 26, 27)] == [12.0, 10.0, 8.0]
    assert learn(costs[:5]) == {}


def test_windows() -> None:
    """Means over 8, 15 and 30 pictures, as soon as there are 30."""
    costs = Costs({P: Curve(((30.0, 10.0),))})
    for _ in range(WINDOWS[-1] - 1):
        assert costs.add(Cost(P, 30, 10.0)) is None
    peaks = costs.add(Cost(P, 30, 11.5))
    assert peaks == pytest.approx([1.5 / 8, 1.5 / 15, 1.5 / 30])
    costs.clear()
    assert costs.add(Cost(P, 30, 10.0)) is None


def test_one_hiccup_counts_little() -> None:
    """A picture of a hundred times the size counts as one of four times."""
    costs = Costs({P: Curve(((30.0, 10.0),))})
    for _ in range(WINDOWS[-1] - 1):
        costs.add(Cost(P, 30, 10.0))
    peaks = costs.add(Cost(P, 30, 10.0 + math.log2(100)))
    assert peaks is not None
    assert peaks[0] == pytest.approx(CLIP / 8)


def test_kind_that_was_never_seen_is_dear() -> None:
    """B-frames of an encoder that sent none in the quiet speak for motion."""
    costs = Costs({P: Curve(((30.0, 10.0),))})
    last = [costs.add(Cost(B, 30, 2.0)) for _ in range(WINDOWS[-1])][-1]
    assert last == (CLIP, CLIP, CLIP)
