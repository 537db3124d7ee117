"""Finds: faces and labels said alike."""

from __future__ import annotations

from processors.geometry import Box, Point
from processors.results import DetectedFace, DetectedLabel, Landmarks, Quality
from streamd.pipeline.finds import Find, finds_of_faces, finds_of_labels
from streamd.records.face_search import FaceMatch, FoundFace
from streamd.resources import Face

BOX = Box(left=0.1, top=0.2, width=0.3, height=0.4)
_POINT = Point(x=0.2, y=0.3)
FACE = DetectedFace(
    box=BOX,
    confidence_percent=99.0,
    landmarks=Landmarks(
        eye_left=_POINT, eye_right=_POINT, nose=_POINT, mouth_left=_POINT, mouth_right=_POINT
    ),
    pose=None,
    quality=Quality(brightness=50.0, sharpness=50.0),
)


def _match(face_id: str, similarity: float, name: str | None) -> FaceMatch:
    face = Face(
        face_id=face_id,
        image_id="i",
        external_image_id=name,
        bounding_box=(0, 0, 1, 1),
        confidence_percent=99,
    )
    return FaceMatch(face=face, similarity_percent=similarity)


def test_a_face_is_its_best_match() -> None:
    """The most similar face of the collection names it, and says how sure that is."""
    matches = [_match("a", 81.0, "bob"), _match("b", 97.25, "alice")]
    (find,) = finds_of_faces([FoundFace(detected=FACE, matches=matches)])
    assert (find.subject, find.certainty_percent) == ("FACE/alice", 97.25)
    assert find.document() == {
        "Label": "FACE",
        "Confidence": 99.0,
        "FaceId": "b",
        "ExternalImageId": "alice",
        "Similarity": 97.25,
        "BoundingBox": {"Height": 0.4, "Width": 0.3, "Left": 0.1, "Top": 0.2},
    }


def test_a_face_without_a_match_is_unknown() -> None:
    """It has no name and no similarity, and is as sure as its detection."""
    (find,) = finds_of_faces([FoundFace(detected=FACE)])
    assert (find.subject, find.certainty_percent) == ("FACE/", 99.0)
    assert set(find.document()) == {"Label", "Confidence", "BoundingBox"}


def test_a_label_is_its_class() -> None:
    """Objects keep label, confidence and box."""
    label = DetectedLabel(name="PET", confidence_percent=60.0, box=BOX, class_name="dog")
    assert finds_of_labels([label]) == [Find(label="PET", box=BOX, confidence_percent=60.0)]
