"""DetectFaces, CompareFaces: faces of images alone; nothing is kept.

``OrientationCorrection`` and its likes are "always null" (*API Reference*), so they are left
out: a JPEG's orientation is applied before anything is measured.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from processors.faces.analyzer import FaceAnalyzer
from processors.results import DetectedFace
from streamd.api.caller import Caller
from streamd.api.collection_access import CollectionAccess
from streamd.api.face_convert import (
    box_to_wire,
    compared_face_to_wire,
    face_detail_to_wire,
    percent_to_wire,
)
from streamd.api.handlers import Handler, Output, Params, RunBlocking
from streamd.api.image_analysis import MAX_FACES_IN_IMAGE, FaceAnalysis
from streamd.api.images import ImageReader
from streamd.api.query_faces import QueryFaces
from streamd.api.refusals import invalid_parameter

__all__ = ["ImageFaces"]

DEFAULT_SIMILARITY_THRESHOLD_PERCENT = 80.0
"""SimilarityThreshold ("by default, only faces with a similarity score of greater than or
equal to 80%", CompareFaces, *API Reference*)."""


class ImageFaces:
    """The operations on faces that leave no trace."""

    def __init__(
        self, *, access: CollectionAccess, images: ImageReader, run_analysis: RunBlocking
    ) -> None:
        self._access = access
        self._images = images
        self._query = QueryFaces(images=images, run_analysis=run_analysis)
        self._run_analysis = run_analysis

    def operations(self) -> Mapping[str, Handler]:
        """Return the handlers by operation name."""
        return {"DetectFaces": self.detect, "CompareFaces": self.compare}

    async def detect(self, _caller: Caller, params: Params) -> Output:
        """Tell the faces of an image, the 100 largest; none is no error."""
        analyzer = await self._access.analyzer()
        image = await self._images.read(params["Image"])
        faces: list[DetectedFace] = await self._run_analysis(
            functools.partial(analyzer.detect, image.picture, max_faces=MAX_FACES_IN_IMAGE)
        )
        return {"FaceDetails": [face_detail_to_wire(face) for face in faces]}

    async def compare(self, _caller: Caller, params: Params) -> Output:
        """Compare the largest face of one image with the faces of another."""
        analyzer = await self._access.analyzer()
        source = await self._faces(analyzer, params, "SourceImage", largest_only=True)
        target = await self._faces(analyzer, params, "TargetImage")
        threshold = params.get("SimilarityThreshold", DEFAULT_SIMILARITY_THRESHOLD_PERCENT)
        matches, unmatched = [], []
        # In float64, as searches compare: the same two faces are as similar here as there.
        differences = target.vectors.astype(np.float64) - source.vectors[0]
        distances = np.linalg.norm(differences, axis=1)
        for face, distance in zip(target.faces, distances, strict=True):
            similarity = percent_to_wire(analyzer.similarity_percent(float(distance)))
            if similarity >= threshold:
                matches.append((similarity, face))
            else:
                unmatched.append(face)
        matches.sort(key=lambda match: -match[0])
        return {
            "SourceImageFace": {
                "BoundingBox": box_to_wire(source.faces[0].box),
                "Confidence": percent_to_wire(source.faces[0].confidence_percent),
            },
            "FaceMatches": [_match(similarity, face) for similarity, face in matches],
            "UnmatchedFaces": [compared_face_to_wire(face) for face in unmatched],
        }

    async def _faces(
        self, analyzer: FaceAnalyzer, params: Params, member: str, *, largest_only: bool = False
    ) -> FaceAnalysis:
        """Return the faces of one of the images: at least one."""
        analysis = await self._query.read(analyzer, params, member, largest_only=largest_only)
        if not analysis.faces:
            raise invalid_parameter(f"There are no faces in the {member}.")
        return analysis


def _match(similarity: float, face: DetectedFace) -> dict[str, Any]:
    return {"Similarity": similarity, "Face": compared_face_to_wire(face)}
