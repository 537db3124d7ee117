"""What face detectors have in common: what they find, and which of two boxes stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.picture import Picture, pixel_rectangle

__all__ = ["FaceDetector", "FoundFace", "View", "suppressed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFace:
    """A face as a detector sees it; coordinates are ratios of the whole picture."""

    box: Box
    score: float
    """The detector's own score, 0 to 1."""
    landmarks: NDArray[np.float64]
    """Shape (5, 2): eye at the picture's left, at its right, nose, mouth corners likewise."""


class FaceDetector(Protocol):
    """Finds faces; shared by threads."""

    def find(self, picture: Picture, *, region: Box = WHOLE_PICTURE) -> list[FoundFace]:
        """Return the faces in ``region``, in no particular order."""


class View:
    """A region of a picture as a detector works on it: at most so many pixels long."""

    def __init__(self, picture: Picture, region: Box, *, long_side_px: int) -> None:
        self._picture = picture
        self._edges = pixel_rectangle(picture, region)
        left, top, right, bottom = self._edges
        scale = min(1.0, long_side_px / max(right - left, bottom - top))
        self._region = region
        self.width_px = max(1, round((right - left) * scale))
        self.height_px = max(1, round((bottom - top) * scale))

    def rgb(
        self, *, width_px: int | None = None, height_px: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the region at the size of the view, or another."""
        return self._picture.rgb(
            self._region,
            width_px=width_px or self.width_px,
            height_px=height_px or self.height_px,
        )

    def face(
        self, edges: NDArray[np.floating], points: NDArray[np.floating], score: float
    ) -> FoundFace:
        """Turn pixels of the view (x1, y1, x2, y2 and five points) into ratios of the picture."""
        left, top, right, bottom = (
            float(value) for value in self._ratios(edges.reshape(2, 2)).flat
        )
        return FoundFace(
            box=Box.from_edges(left=left, top=top, right=right, bottom=bottom),
            score=score,
            landmarks=self._ratios(points),
        )

    def _ratios(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        left, top, right, bottom = self._edges
        scale = np.array([(right - left) / self.width_px, (bottom - top) / self.height_px])
        whole = np.array([self._picture.width_px, self._picture.height_px], dtype=np.float64)
        ratios: NDArray[np.float64] = (points * scale + np.array([left, top])) / whole
        return ratios


def suppressed(
    edges: NDArray[np.floating],
    scores: NDArray[np.floating],
    *,
    overlap: float,
    of_smaller: bool = False,
) -> NDArray[np.intp]:
    """Return the indices of the boxes that stay, best first (non-maximum suppression).

    Args:
        edges: Boxes as rows x1, y1, x2, y2.
        scores: One for each box.
        overlap: A box that overlaps a better one by more goes.
        of_smaller: Measure the overlap as a share of the smaller box, not of the union.

    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = edges[order].T
    area = (x2 - x1) * (y2 - y1)
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    common = np.maximum(width, 0) * np.maximum(height, 0)
    smaller = np.minimum(area[:, None], area)
    conflicts = common > overlap * (smaller if of_smaller else area[:, None] + area - common)
    alive = np.ones(len(order), dtype=bool)
    for row in range(len(order)):
        if alive[row]:
            alive[row + 1 :] &= ~conflicts[row, row + 1 :]
    return order[alive]
