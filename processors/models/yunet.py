"""YuNet: faces with five landmarks in one pass, at any size that is a multiple of 32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.models.face_detector import FoundFace, View, suppressed
from processors.models.runtime import Network, RuntimeOptions
from processors.picture import Picture

__all__ = ["YuNet", "YuNetOptions"]

_STRIDES_PX = (8, 16, 32)
_MULTIPLE_PX = 32
# Beyond this many boxes over the threshold only the best are compared with each other.
_MAX_BOXES = 1000


@dataclass(frozen=True, kw_only=True)
class YuNetOptions:
    """Settings of the detector."""

    long_side_px: int = 640
    """Pictures (or the region looked at) are shrunk to this."""
    threshold: float = 0.7
    """Lowest score of a face. Muzzles of dogs and cats reach 0.74."""
    overlap: float = 0.3
    """Boxes that overlap a better one by more of their union go."""

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> YuNetOptions:
        """Read the options of a pack."""
        return cls(**table)


class YuNet:
    """A face detector; shared by threads."""

    def __init__(self, model: Path, options: YuNetOptions, runtime: RuntimeOptions) -> None:
        self._options = options
        self._network = Network(model, runtime)
        self._outputs = [
            [self._network.outputs.index(f"{kind}_{stride}") for stride in _STRIDES_PX]
            for kind in ("cls", "obj", "bbox", "kps")
        ]

    def find(self, picture: Picture, *, region: Box = WHOLE_PICTURE) -> list[FoundFace]:
        """Return the faces in ``region``."""
        view = View(picture, region, long_side_px=self._options.long_side_px)
        pixels = _padded(view.rgb())
        results = self._network.run(input=pixels)
        classes, objects, boxes, points = (
            np.concatenate([results[index][0] for index in indices]) for indices in self._outputs
        )
        scores = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1)).reshape(-1)
        rows = np.flatnonzero(scores >= self._options.threshold)
        rows = rows[np.argsort(-scores[rows], kind="stable")][:_MAX_BOXES]
        origins, strides = _cells(pixels.shape[2], pixels.shape[3])
        edges = _edges(boxes[rows], origins[rows], strides[rows])
        marks = (points[rows].reshape(-1, 5, 2) + origins[rows, None]) * strides[rows, None]
        keep = suppressed(edges, scores[rows], overlap=self._options.overlap)
        return [view.face(edges[i], marks[i], float(scores[rows[i]])) for i in keep]


def _padded(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (1, 3, H, W) BGR, filled with 0 at the right and below to multiples of 32."""
    height, width, _ = rgb.shape
    rows = -(-height // _MULTIPLE_PX) * _MULTIPLE_PX
    columns = -(-width // _MULTIPLE_PX) * _MULTIPLE_PX
    pixels = np.zeros((1, 3, rows, columns), dtype=np.float32)
    pixels[0, :, :height, :width] = rgb[:, :, ::-1].transpose(2, 0, 1)
    return pixels


def _cells(height_px: int, width_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each cell's column and row, and its stride, in the order of the outputs."""
    origins, strides = [], []
    for stride in _STRIDES_PX:
        rows, columns = np.indices((height_px // stride, width_px // stride), dtype=np.float64)
        origins.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((rows.size, 1), float(stride)))
    return np.concatenate(origins), np.concatenate(strides)


def _edges(
    boxes: NDArray[np.float32], origins: NDArray[np.float64], strides: NDArray[np.float64]
) -> NDArray[np.float64]:
    centres = (origins + boxes[:, :2]) * strides
    halves = np.exp(boxes[:, 2:]) * strides / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)
