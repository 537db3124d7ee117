"""PERSON from faces: what can be told of people when no object detector is there.

Precise, and free where faces are searched anyway, but blind to people seen from behind. The
box is that of the face: how far the body reaches is not known. Among general objects it is
therefore a face that is told, with its box, and a person only as what a face belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from processors.geometry import WHOLE_PICTURE, Box
from processors.picture import Picture
from processors.results import DetectedFace, DetectedLabel, DetectedObject

__all__ = ["FindsFaces", "PersonFromFaces"]


class FindsFaces(Protocol):
    """What is needed of a face analyzer."""

    def detect(self, picture: Picture, *, region: Box = WHOLE_PICTURE) -> Sequence[DetectedFace]:
        """Return the faces in ``region``."""


class PersonFromFaces:
    """A label analyzer that knows PERSON only, from faces.

    Args:
        faces: Finds them.
        name: The pack's name.
        version: The pack's version.
        note: What is partial about it.

    """

    labels = frozenset({"PERSON"})

    def __init__(
        self,
        faces: FindsFaces,
        *,
        name: str = "faces",
        version: str = "1.0",
        note: str = "PERSON from faces only",
    ) -> None:
        self.name = name
        self.version = version
        self.note = note
        self._faces = faces

    def detect(
        self,
        picture: Picture,
        *,
        region: Box = WHOLE_PICTURE,
        min_confidence_percent: float = 50.0,
    ) -> list[DetectedLabel]:
        """See :meth:`processors.labels.LabelAnalyzer.detect`."""
        if region.clipped().area <= 0:
            return []
        found = [
            DetectedLabel(
                name="PERSON",
                confidence_percent=face.confidence_percent,
                box=face.box,
                class_name="face",
            )
            for face in self._faces.detect(picture, region=region)
            if face.confidence_percent >= min_confidence_percent
        ]
        return sorted(found, key=lambda each: -each.confidence_percent)

    def objects(
        self, picture: Picture, *, min_confidence_percent: float = 50.0
    ) -> list[DetectedObject]:
        """See :meth:`processors.labels.LabelAnalyzer.objects`."""
        found = self.detect(picture, min_confidence_percent=min_confidence_percent)
        return [
            DetectedObject(
                class_name=each.class_name,
                confidence_percent=each.confidence_percent,
                box=each.box,
            )
            for each in found
        ]
