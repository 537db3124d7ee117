"""The faces of an image: which are embedded, which are dropped, and in what order."""

from __future__ import annotations

from typing import cast

import numpy as np

from processors.faces.analyzer import FaceAnalyzer
from processors.picture import ArrayPicture
from processors.results import DetectedFace
from streamd.api.image_analysis import FaceAnalysis, analyze_faces
from streamd.api.images import LoadedImage
from tests.support.rekognition import ScriptedAnalyzer, make_face

LARGE, MIDDLE, SMALL = (
    make_face(size=size, confidence=confidence)
    for size, confidence in ((0.5, 99.0), (0.4, 98.0), (0.3, 97.0))
)
BLURRED = make_face(size=0.45, sharpness=0.5)


def analyze(
    analyzer: ScriptedAnalyzer, *, quality_filter: str = "AUTO", **options: object
) -> FaceAnalysis:
    picture = ArrayPicture(np.zeros((200, 200, 3), np.uint8))
    image = LoadedImage(picture=picture, digest=b"digest")
    return analyze_faces(
        cast(FaceAnalyzer, analyzer),
        image,
        quality_filter=quality_filter,
        **options,  # type: ignore[arg-type]  # a test's own
    )


def finding(*faces: DetectedFace) -> ScriptedAnalyzer:
    analyzer = ScriptedAnalyzer()
    analyzer.found = [
        (face, [float(number)] * analyzer.vector_size) for number, face in enumerate(faces)
    ]
    return analyzer


def test_each_face_has_its_vector() -> None:
    """Faces are largest first, and row by row with the vectors."""
    found = analyze(finding(SMALL, LARGE))
    assert list(found.faces) == [LARGE, SMALL]
    assert found.vectors[:, 0].tolist() == [1.0, 0.0]
    assert (list(found.others), list(found.dropped)) == ([], [])


def test_poor_faces_cost_no_embedding() -> None:
    """What the quality filter drops is told with its reason."""
    analyzer = finding(LARGE, BLURRED)
    found = analyze(analyzer)
    assert [(face, reasons) for face, reasons in found.dropped] == [(BLURRED, ["LOW_SHARPNESS"])]
    assert analyzer.embedded == 1
    assert list(analyze(finding(LARGE, BLURRED), quality_filter="NONE").faces) == [LARGE, BLURRED]


def test_only_the_largest_is_embedded_where_it_alone_is_wanted() -> None:
    """The other good faces are returned without vectors."""
    analyzer = finding(SMALL, LARGE, MIDDLE)
    found = analyze(analyzer, largest_only=True)
    assert (list(found.faces), list(found.others)) == ([LARGE], [MIDDLE, SMALL])
    assert (found.vectors.shape, analyzer.embedded) == ((1, analyzer.vector_size), 1)


def test_one_face_that_cannot_be_aligned_costs_the_others_nothing() -> None:
    """It is dropped for its quality; the rest is embedded one by one."""
    analyzer = finding(LARGE, MIDDLE, SMALL)
    analyzer.not_alignable = {MIDDLE.confidence_percent}
    found = analyze(analyzer)
    assert list(found.faces) == [LARGE, SMALL]
    assert found.vectors[:, 0].tolist() == [0.0, 2.0]
    assert list(found.dropped) == [(MIDDLE, ["LOW_FACE_QUALITY"])]


def test_no_face_that_can_be_aligned_is_no_vector() -> None:
    """The shape still says how long one would be."""
    analyzer = finding(LARGE)
    analyzer.not_alignable = {LARGE.confidence_percent}
    found = analyze(analyzer)
    assert found.vectors.shape == (0, analyzer.vector_size)
    assert len(found.dropped) == 1


def test_dropped_faces_are_largest_first() -> None:
    """Whatever they were dropped for."""
    found = analyze(finding(SMALL, LARGE, BLURRED), max_faces=1)
    assert [face for face, _ in found.dropped] == [BLURRED, SMALL]
    assert found.dropped[1][1] == ["EXCEEDS_MAX_FACES"]
