"""The face analyzer: pictures in, faces and their vectors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.errors import PackFormatError
from processors.faces.align import aligned_crop
from processors.faces.pose import pose_from_landmarks
from processors.faces.quality import CROP_PX, face_quality
from processors.faces.similarity import SimilarityScale
from processors.geometry import WHOLE_PICTURE, Box, Point
from processors.models.catalog import Pack
from processors.models.face_detector import FaceDetector, FoundFace
from processors.models.face_embedder import (
    DlibEmbedder,
    FaceEmbedder,
    Retail0095Embedder,
    Template,
)
from processors.models.head_pose import HeadPoseNetwork
from processors.models.mtcnn import Mtcnn, MtcnnOptions
from processors.models.runtime import RuntimeOptions
from processors.models.yunet import YuNet, YuNetOptions
from processors.picture import Picture
from processors.results import DetectedFace, Landmarks, Pose

__all__ = ["FaceAnalyzer", "build"]

# A box that lies outside the picture for more than this share of it is a guess.
_MIN_VISIBLE = 0.25


class FaceAnalyzer:
    """Finds faces and describes them by vectors; blocking, shared by threads."""

    name: str
    """The model pack."""
    model_version: str
    """Digits and dots; vectors of two versions must never be compared."""
    vector_size: int
    """Numbers in a vector."""

    def __init__(
        self,
        pack: Pack,
        detector: FaceDetector,
        embedder: FaceEmbedder,
        head_pose: HeadPoseNetwork | None = None,
    ) -> None:
        self.name = pack.name
        self.model_version = pack.version
        self.vector_size = embedder.vector_size
        self._detector = detector
        self._embedder = embedder
        self._head_pose = head_pose
        self._scale = SimilarityScale.from_table(pack.options["similarity"])
        self._confidence = np.array(pack.options["confidence"], dtype=np.float64)

    def detect(
        self, picture: Picture, *, region: Box = WHOLE_PICTURE, max_faces: int = 100
    ) -> list[DetectedFace]:
        """Find faces.

        Args:
            picture: The picture.
            region: The part of it that is looked at.
            max_faces: The largest so many are returned.

        Returns:
            The faces, largest first, with boxes relative to the whole picture.

        """
        found = [
            face
            for face in self._detector.find(picture, region=region)
            if face.box.area > 0 and face.box.clipped().area > _MIN_VISIBLE * face.box.area
        ]
        found.sort(key=lambda face: face.box.area, reverse=True)
        del found[max_faces:]
        crops = _box_crops(picture, found)
        return [
            DetectedFace(
                box=face.box,
                confidence_percent=self._confidence_percent(face.score),
                landmarks=_named(face.landmarks),
                pose=pose,
                quality=face_quality(crop),
            )
            for face, crop, pose in zip(
                found, crops, self._poses(picture, found, crops), strict=True
            )
        ]

    def embed(self, picture: Picture, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        """Return one vector for each face, shape (n, vector_size), compared by Euclid.

        Raises:
            ValueError: If a face's landmarks cannot be aligned, or lie outside the picture.

        """
        template = self._embedder.template
        crops = np.empty((len(faces), template.size_px, template.size_px, 3), dtype=np.uint8)
        for index, face in enumerate(faces):
            crops[index] = aligned_crop(picture, _array(face.landmarks), template)
        return self._embedder.embed(crops)

    def similarity_percent(self, distance: float) -> float:
        """Return the similarity of two vectors at ``distance``.

        At most one in a thousand pairs of different people reaches 80.
        """
        return self._scale.percent(distance)

    def distance_at(self, similarity_percent: float) -> float:
        """Return the largest distance that still has ``similarity_percent``."""
        return self._scale.distance_at(similarity_percent)

    def _confidence_percent(self, score: float) -> float:
        return float(np.interp(score, self._confidence[:, 0], self._confidence[:, 1]))

    def _poses(
        self, picture: Picture, found: Sequence[FoundFace], crops: NDArray[np.uint8]
    ) -> Sequence[Pose | None]:
        if self._head_pose is not None:
            return self._head_pose.poses(crops)
        whole = np.array([picture.width_px, picture.height_px], dtype=np.float64)
        return [pose_from_landmarks(face.landmarks * whole) for face in found]


def build(pack: Pack, files: Mapping[str, Path], options: RuntimeOptions) -> FaceAnalyzer:
    """Load the networks of a face pack.

    Args:
        pack: The pack.
        files: Its files by role, already checked against their hashes.
        options: How networks run.

    Raises:
        PackFormatError: If the pack's family is unknown.
        ModelError: If its networks cannot be loaded.

    """
    tables = pack.options
    template = Template.from_table(tables["embedder"])
    if pack.family == "mtcnn-dlib":
        return FaceAnalyzer(
            pack,
            Mtcnn(files, MtcnnOptions.from_table(tables["detector"]), options),
            DlibEmbedder(files["embedder"], template, options),
        )
    if pack.family == "yunet-retail0095":
        return FaceAnalyzer(
            pack,
            YuNet(files["detector"], YuNetOptions.from_table(tables["detector"]), options),
            Retail0095Embedder(files["embedder"], template, options),
            HeadPoseNetwork(files["pose"], options),
        )
    raise PackFormatError(f"pack {pack.name!r} is of an unknown family {pack.family!r}")


def _box_crops(picture: Picture, found: Sequence[FoundFace]) -> NDArray[np.uint8]:
    crops = [picture.rgb(face.box, width_px=CROP_PX, height_px=CROP_PX) for face in found]
    return np.stack(crops) if crops else np.empty((0, CROP_PX, CROP_PX, 3), dtype=np.uint8)


def _named(points: NDArray[np.float64]) -> Landmarks:
    eye_left, eye_right, nose, mouth_left, mouth_right = (
        Point(x=float(x), y=float(y)) for x, y in points
    )
    return Landmarks(
        eye_left=eye_left,
        eye_right=eye_right,
        nose=nose,
        mouth_left=mouth_left,
        mouth_right=mouth_right,
    )


def _array(landmarks: Landmarks) -> NDArray[np.float64]:
    points = (
        landmarks.eye_left,
        landmarks.eye_right,
        landmarks.nose,
        landmarks.mouth_left,
        landmarks.mouth_right,
    )
    return np.array([(point.x, point.y) for point in points], dtype=np.float64)
