"""Faces followed from frame to frame, so that each is embedded when that can tell something new.

A face that overlaps one of the frame before, alone, and keeps its size is the same face: frames
are a fifth of a second apart. Its vector is made anew when its picture got better, when it was
not recognised for a moment, and now and then to be sure. Where it is not clear who is who, or a
new vector is somebody else's, it counts as a new face. A mistake of following therefore costs an
embedding, and a wrong name lasts no longer than :data:`SURE_SECONDS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.geometry import Box
from processors.results import DetectedFace

__all__ = ["FaceTrack", "FaceTracks"]

LEAST_OVERLAP: Final = 0.4
"""Intersection over union with the box before."""
AMBIGUOUS_OVERLAP: Final = 0.1
"""A face that overlaps two of the frame before this much may be either."""
MOST_GROWTH: Final = 1.6
"""Between areas of boxes of one face in two frames."""
LOST_SECONDS: Final = 0.75
"""A face unseen for longer is a new one when it comes back."""
RETRY_SECONDS: Final = 0.5
"""Between two embeddings of a face that nobody matches."""
SURE_SECONDS: Final = 2.0
"""Between two embeddings of a face that somebody matches."""
BETTER: Final = 1.25
"""So many times as good a picture is worth an embedding."""
SAME_PERSON_PERCENT: Final = 50.0
"""Two vectors of one track that are less similar are two people's."""


class FaceTrack:
    """One face for as long as it is followed."""

    def __init__(self, face: DetectedFace, seconds: float) -> None:
        self.box = face.box
        self.seen_seconds = seconds
        self.vector: NDArray[np.float32] | None = None
        """What to search by, shape (vector_size,); ``None`` before the first embedding."""
        self.is_matched = False
        """Whether the last search found somebody."""
        self._score = 0.0
        self._embedded_seconds = -math.inf
        self._is_doubtful = True

    def wants_embedding(self, face: DetectedFace, seconds: float) -> bool:
        """Return whether a vector of the face as it is now may tell something new."""
        if self._is_doubtful:
            return True
        age = seconds - self._embedded_seconds
        if age >= (SURE_SECONDS if self.is_matched else RETRY_SECONDS):
            return True
        return picture_score(face) >= BETTER * self._score

    def learn(
        self,
        vector: NDArray[np.float32],
        face: DetectedFace,
        seconds: float,
        similarity_percent: Callable[[float], float],
    ) -> None:
        """Take a new vector: the better picture's is kept, unless it is another person's.

        Args:
            vector: Shape (vector_size,).
            face: The face it was made from.
            seconds: Media time of the frame.
            similarity_percent: Of two vectors at a distance.

        """
        score = picture_score(face)
        if self.vector is not None and not self._is_doubtful:
            distance = float(np.linalg.norm(self.vector - vector))
            is_other = similarity_percent(distance) < SAME_PERSON_PERCENT
        else:
            is_other = True
        if is_other or score >= self._score or not self.is_matched:
            self.vector, self._score = vector, score
        self._embedded_seconds, self._is_doubtful = seconds, False

    def follow(self, face: DetectedFace, seconds: float, *, is_clear: bool) -> None:
        """Note where the face is now."""
        self.box, self.seen_seconds = face.box, seconds
        if not is_clear:
            self._is_doubtful = True


class FaceTracks:
    """The faces of one stream in one place, as one session looks at them."""

    def __init__(self) -> None:
        self._tracks: list[FaceTrack] = []

    def follow(self, faces: Sequence[DetectedFace], seconds: float) -> list[FaceTrack]:
        """Return the track of each face of the next frame.

        Args:
            faces: All faces of the frame.
            seconds: Its media time; going back begins anew.

        """
        self._tracks = [t for t in self._tracks if 0 <= seconds - t.seen_seconds <= LOST_SECONDS]
        overlaps = np.array(
            [[track.box.iou(face.box) for track in self._tracks] for face in faces]
        ).reshape(len(faces), len(self._tracks))
        chosen: dict[int, FaceTrack] = {}
        for face_at, track_at in _pairs(overlaps):
            face, track = faces[face_at], self._tracks[track_at]
            if not _fits(track.box, face.box):
                continue
            near = overlaps >= AMBIGUOUS_OVERLAP
            is_clear = near[face_at].sum() == 1 and near[:, track_at].sum() == 1
            track.follow(face, seconds, is_clear=bool(is_clear))
            chosen[face_at] = track
        found = [chosen.get(at) or FaceTrack(face, seconds) for at, face in enumerate(faces)]
        known = {id(track) for track in self._tracks}
        self._tracks += [track for track in found if id(track) not in known]
        return found


def picture_score(face: DetectedFace) -> float:
    """Return how much a picture of a face says of it: large, sharp, from the front."""
    frontal = 1.0
    if face.pose is not None:
        turned = math.cos(math.radians(face.pose.yaw)) * math.cos(math.radians(face.pose.pitch))
        frontal = max(0.2, turned)
    return face.box.height * max(face.quality.sharpness, 5.0) * frontal


def _pairs(overlaps: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return pairs of face and track, the largest overlap first, each in one pair at most."""
    pairs: list[tuple[int, int]] = []
    left = overlaps.copy()
    while left.size and left.max() >= LEAST_OVERLAP:
        face_at, track_at = (int(at) for at in np.unravel_index(left.argmax(), left.shape))
        pairs.append((face_at, track_at))
        left[face_at, :] = left[:, track_at] = 0.0
    return pairs


def _fits(before: Box, now: Box) -> bool:
    larger, smaller = max(before.area, now.area), min(before.area, now.area)
    return larger <= MOST_GROWTH * smaller
