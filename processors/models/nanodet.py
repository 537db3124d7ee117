"""NanoDet-Plus: class scores and, for each side of the box, a distribution of distances.

One output (1, rows, classes + 4 x bins). Rows are the places of the grids of strides 8, 16,
32 and 64, row by row; the sigmoid of the scores is done in the graph. A side's distance is the
mean of the softmax over its bins, times the stride, from the place (column, row) x stride.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from processors.models.detector import Candidates, Floors, ObjectDetector, RunnableNetwork, select
from processors.models.grid import grid_points
from processors.models.image_input import ImageInput

__all__ = ["NanoDet"]

STRIDES = (8, 16, 32, 64)


class NanoDet(ObjectDetector):
    """Decodes NanoDet-Plus."""

    default_input: ClassVar[ImageInput] = ImageInput(
        width_px=416,
        height_px=416,
        colour="bgr",
        mean=(103.53, 116.28, 123.675),
        scale=(0.017429, 0.017507, 0.017125),
    )

    def __init__(
        self, network: RunnableNetwork, *, image_input: ImageInput, class_count: int
    ) -> None:
        super().__init__(network, image_input=image_input, class_count=class_count)
        places, self._strides = grid_points(image_input.width_px, image_input.height_px, STRIDES)
        self._centres = places * self._strides[:, None]

    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        output = outputs[0]
        rows_expected, classes = len(self._centres), self._class_count
        sides = output.shape[-1] - classes
        if len(outputs) != 1 or output.shape[:-1] != (1, rows_expected) or sides < 8 or sides % 4:
            raise self._misread(outputs, f"(1, {rows_expected}, {classes} + 4 x bins)")
        rows, found, scores = select(output[0, :, :classes], floors)
        bins = output[0, rows, classes:].reshape(len(rows), 4, sides // 4)
        distances = _mean_bin(bins) * self._strides[rows, None]
        centres = self._centres[rows]
        edges = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
        return Candidates(edges=edges, scores=scores, classes=found)


def _mean_bin(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the mean bin of the softmax over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    bins = np.arange(logits.shape[-1], dtype=np.float32)
    mean: NDArray[np.floating[Any]] = (weights @ bins) / weights.sum(axis=-1)
    return mean
