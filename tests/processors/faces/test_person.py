"""Facts about the vector of a person."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.faces.person import person_vector


def test_one_face_is_its_own_person() -> None:
    """The vector of one face is that face's."""
    vector = np.array([[0.6, -0.8, 0.0]], np.float32)
    assert person_vector(vector).tolist() == pytest.approx([0.6, -0.8, 0.0])


def test_the_mean_has_the_length_of_its_faces() -> None:
    """Unit vectors give a unit vector half-way between them."""
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert person_vector(vectors).tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


def test_vectors_that_cancel() -> None:
    """Opposite vectors have no direction in common: the first stands for both."""
    assert person_vector(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)).tolist() == [1.0, 0.0]


@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_the_result_is_a_usable_vector(count: int, seed: int) -> None:
    """Whatever the faces, the vector is float32, finite and of their mean length."""
    vectors = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    person = person_vector(vectors)
    assert person.dtype == np.float32
    assert np.isfinite(person).all()
    mean_length = float(np.linalg.norm(vectors, axis=1).mean())
    assert float(np.linalg.norm(person)) == pytest.approx(mean_length, rel=1e-3)
