"""YOLOX: centre and size on three grids, an objectness, class scores.

One output (1, rows, 5 + classes): x, y, w, h, objectness, classes, over strides 8, 16, 32.
Scores went through their sigmoid in the graph; boxes are raw: (x, y) + place times the stride,
exp(w, h) times the stride. The usual export has a fixed batch of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from processors.models.detector import (
    Candidates,
    Floors,
    ObjectDetector,
    RunnableNetwork,
    edges_from_centres,
    select,
)
from processors.models.grid import grid_points
from processors.models.image_input import ImageInput

__all__ = ["YoloX"]

STRIDES = (8, 16, 32)


class YoloX(ObjectDetector):
    """Decodes YOLOX exported without its box decoding (the default)."""

    default_input: ClassVar[ImageInput] = ImageInput(
        width_px=416, height_px=416, colour="bgr", fit="top-left", fill=114.0
    )

    def __init__(
        self, network: RunnableNetwork, *, image_input: ImageInput, class_count: int
    ) -> None:
        super().__init__(network, image_input=image_input, class_count=class_count)
        self._places, self._strides = grid_points(
            image_input.width_px, image_input.height_px, STRIDES
        )

    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        expected = (1, len(self._places), 5 + self._class_count)
        if len(outputs) != 1 or outputs[0].shape != expected:
            raise self._misread(outputs, str(expected))
        output = outputs[0][0]
        rows, found, scores = select(output[:, 5:] * output[:, 4:5], floors)
        raw, strides = output[rows, :4], self._strides[rows, None]
        centres = (raw[:, :2] + self._places[rows]) * strides
        with np.errstate(over="ignore"):  # a wild size becomes the whole picture
            sizes = np.exp(raw[:, 2:]) * strides
        edges = edges_from_centres(np.concatenate([centres, sizes], axis=1))
        return Candidates(edges=edges, scores=scores, classes=found)
