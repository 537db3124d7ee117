"""Embedders turn aligned crops into vectors, one for each, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from processors.models.face_embedder import Template
from tests.support.faces import face_analyzer

PACKS = ["builtin", pytest.param("yunet-retail0095", marks=pytest.mark.shared)]


@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("count", [0, 1, 8, 19])
def test_one_vector_for_each_crop(name: str, count: int) -> None:
    """Batches change nothing: each crop has the vector it has alone."""
    embedder = face_analyzer(name)._embedder
    size = embedder.template.size_px
    crops = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    vectors = embedder.embed(crops)
    assert vectors.shape == (count, embedder.vector_size)
    assert vectors.dtype == np.float32
    for index in range(0, count, 7):
        alone = embedder.embed(crops[index : index + 1])
        np.testing.assert_allclose(vectors[index], alone[0], atol=1e-5)


@pytest.mark.shared
def test_cosine_vectors_have_length_1() -> None:
    """retail-0095 is compared by cosine, so its vectors are normalised."""
    embedder = face_analyzer("yunet-retail0095")._embedder
    crops = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    assert np.linalg.norm(embedder.embed(crops), axis=1).tolist() == pytest.approx([1, 1, 1])


def test_templates_have_five_points() -> None:
    """A template with four points is refused."""
    with pytest.raises(ValueError, match=r"needs 5 points and 5 weights, got \(4, 2\)"):
        Template(size_px=10, points_px=np.zeros((4, 2)), weights=np.ones(5))
