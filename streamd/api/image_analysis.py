"""The faces of an image: found, sifted by quality, and described by vectors (blocking)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.faces.analyzer import FaceAnalyzer
from processors.results import DetectedFace
from streamd.api.face_quality import sift
from streamd.api.images import LoadedImage

__all__ = ["MAX_FACES_IN_IMAGE", "FaceAnalysis", "analyze_faces"]

MAX_FACES_IN_IMAGE = 100
"""The largest faces of an image are looked at (IndexFaces, DetectFaces, *API Reference*)."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FaceAnalysis:
    """What an image holds; every list is largest first."""

    faces: Sequence[DetectedFace]
    """Good enough, with a vector."""
    vectors: Floats
    """Of ``faces``, shape (n, vector_size)."""
    others: Sequence[DetectedFace]
    """Good enough, but not the largest one, where that alone was wanted."""
    dropped: Sequence[tuple[DetectedFace, list[str]]]
    """Not good enough, with AWS's reasons."""


def analyze_faces(
    analyzer: FaceAnalyzer,
    image: LoadedImage,
    *,
    quality_filter: str,
    max_faces: int | None = None,
    largest_only: bool = False,
) -> FaceAnalysis:
    """Find, sift and embed the faces of an image.

    Args:
        analyzer: Finds and embeds.
        image: The image.
        quality_filter: A value of QualityFilter.
        max_faces: Faces to keep at most; ``None`` for all.
        largest_only: Embed only the largest of those that are good enough.

    """
    detected = analyzer.detect(image.picture, max_faces=MAX_FACES_IN_IMAGE)
    sifted = sift(detected, image.picture, quality_filter=quality_filter, max_faces=max_faces)
    count = 1 if largest_only else len(sifted.kept)
    faces, vectors, failed = _embed(analyzer, image, sifted.kept[:count])
    dropped = sorted(
        [*sifted.dropped, *((face, ["LOW_FACE_QUALITY"]) for face in failed)],
        key=lambda item: -item[0].box.area,
    )
    return FaceAnalysis(faces=faces, vectors=vectors, others=sifted.kept[count:], dropped=dropped)


def _embed(
    analyzer: FaceAnalyzer, image: LoadedImage, faces: Sequence[DetectedFace]
) -> tuple[Sequence[DetectedFace], Floats, Sequence[DetectedFace]]:
    """Return the faces that could be embedded, their vectors, and those that could not."""
    try:
        return faces, analyzer.embed(image.picture, faces), ()
    except ValueError:
        # A face whose landmarks cannot be aligned must not cost the others their place.
        pass
    embedded, vectors, failed = [], [], []
    for face in faces:
        try:
            vectors.append(analyzer.embed(image.picture, [face])[0])
            embedded.append(face)
        except ValueError:
            failed.append(face)
    stacked = np.stack(vectors) if vectors else np.empty((0, analyzer.vector_size), np.float32)
    return embedded, stacked, failed
