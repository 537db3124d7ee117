"""Aligned crops: the landmarks land on the template."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.faces.align import Similarity, aligned_crop, fit_similarity
from processors.models.face_embedder import Template
from processors.picture import ArrayPicture

POINTS = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], dtype=np.float64)
EVEN = np.ones(5)
TEMPLATE = Template(size_px=100, points_px=POINTS, weights=EVEN)


@given(
    scale=st.floats(0.1, 10),
    degrees=st.floats(-180, 180),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_an_exact_similarity_is_found(scale: float, degrees: float, x: float, y: float) -> None:
    """Turned, scaled and shifted points give that turn, scale and shift back."""
    truth = Similarity(a=cmath.rect(scale, math.radians(degrees)), b=complex(x, y))
    found = fit_similarity(POINTS, truth(POINTS), EVEN)
    assert found.a == pytest.approx(truth.a, abs=1e-6)
    assert found.b == pytest.approx(truth.b, abs=1e-3)
    np.testing.assert_allclose(found.inverse()(truth(POINTS)), POINTS, atol=1e-6)


def test_heavier_points_fit_better() -> None:
    """With the nose out of place, eyes that weigh more end nearer to their target."""
    target = POINTS + np.array([[0, 0], [0, 0], [10, 10], [0, 0], [0, 0]])
    errors = [
        np.abs(fit_similarity(POINTS, target, weights)(POINTS)[0] - target[0]).max()
        for weights in (EVEN, np.array([5, 5, 1, 1, 1.0]))
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize(
    "points", [np.full((5, 2), 7.0), np.zeros((5, 2))], ids=["one-point", "origin"]
)
def test_one_place_is_refused(points: np.ndarray) -> None:
    """Landmarks that are all the same have no direction."""
    with pytest.raises(ValueError, match="five landmarks in one place"):
        fit_similarity(points, POINTS, EVEN)


def _marked(size_px: int, points: np.ndarray) -> ArrayPicture:
    """A grey picture with a bright spot at each point."""
    rows, columns = np.indices((size_px, size_px)) + 0.5
    pixels = np.full((size_px, size_px), 40.0)
    for x, y in points:
        pixels += 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (size_px / 80) ** 2))
    grey = np.clip(pixels, 0, 255).astype(np.uint8)
    return ArrayPicture(np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("scale", "degrees"), [(1.0, 0), (0.5, 30), (4.0, -20), (4.0, 170)], ids=str
)
def test_spots_land_on_the_template(scale: float, degrees: float) -> None:
    """Spots at the landmarks are within half a pixel of the template's points."""
    turn = cmath.rect(scale, math.radians(degrees))
    middle = complex(50, 60)
    move = Similarity(a=turn, b=complex(300, 300) - turn * middle)
    points = move(POINTS)
    crop = aligned_crop(_marked(600, points), points / 600, TEMPLATE)
    assert crop.shape == (100, 100, 3)
    luma = crop[..., 0].astype(float) - 40
    rows, columns = np.indices(luma.shape) + 0.5
    for x, y in POINTS:
        near = luma * (np.hypot(columns - x, rows - y) < 8)
        centre = (near * columns).sum() / near.sum(), (near * rows).sum() / near.sum()
        assert centre == pytest.approx((x, y), abs=0.5)


def test_black_where_the_picture_ends() -> None:
    """A face at the edge is filled with black, not with its neighbours."""
    picture = ArrayPicture(np.full((100, 100, 3), 200, dtype=np.uint8))
    crop = aligned_crop(picture, (POINTS - np.array([50, 0])) / 100, TEMPLATE)
    assert crop[50, 10].tolist() == [0, 0, 0]
    assert crop[50, 90].tolist() == [200, 200, 200]


def test_outside_the_picture_is_refused() -> None:
    """Landmarks far outside show nothing of the picture."""
    picture = ArrayPicture(np.zeros((100, 100, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="outside the picture"):
        aligned_crop(picture, POINTS / 100 + 9, TEMPLATE)
