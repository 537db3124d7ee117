"""What an analysed frame shows, said alike for faces and labels. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processors.geometry import Box
from processors.results import DetectedLabel
from streamd.records.face_search import FoundFace
from streamd.records.values import Document, percent, upper_box

__all__ = ["FACE", "Find", "finds_of_faces", "finds_of_labels"]

FACE = "FACE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Find:
    """One face or object in a frame."""

    label: str
    """``FACE``, ``PERSON``, ``PET`` or ``PACKAGE``."""
    box: Box
    confidence_percent: float
    face_id: str | None = None
    """The most similar face of the collection; ``None``: nobody in it, or no face."""
    external_image_id: str | None = None
    similarity_percent: float | None = None

    @property
    def subject(self) -> str:
        """Who or what it is: the same for the same person from frame to frame."""
        return f"{self.label}/{self.external_image_id or self.face_id or ''}"

    @property
    def certainty_percent(self) -> float:
        """How sure it is who or what this is."""
        known = self.similarity_percent
        return self.confidence_percent if known is None else known

    def document(self) -> Document:
        """Return it in AWS's spelling."""
        document: Document = {"Label": self.label, "Confidence": percent(self.confidence_percent)}
        if self.face_id is not None:
            document["FaceId"] = self.face_id
        if self.external_image_id is not None:
            document["ExternalImageId"] = self.external_image_id
        if self.similarity_percent is not None:
            document["Similarity"] = percent(self.similarity_percent)
        document["BoundingBox"] = upper_box(self.box)
        return document


def finds_of_faces(faces: Sequence[FoundFace]) -> list[Find]:
    """Return faces, each with its best match."""
    return [_face(found) for found in faces]


def finds_of_labels(labels: Sequence[DetectedLabel]) -> list[Find]:
    """Return objects."""
    return [
        Find(label=label.name, box=label.box, confidence_percent=label.confidence_percent)
        for label in labels
    ]


def _face(found: FoundFace) -> Find:
    best = max(found.matches, key=lambda match: match.similarity_percent, default=None)
    return Find(
        label=FACE,
        box=found.detected.box,
        confidence_percent=found.detected.confidence_percent,
        face_id=best.face.face_id if best else None,
        external_image_id=best.face.external_image_id if best else None,
        similarity_percent=best.similarity_percent if best else None,
    )
