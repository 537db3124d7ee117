"""FastestDet: one grid, one box a place, class scores that sum to one.

One output (1, 5 + classes, rows, columns): objectness, box, classes. The centre lies
tanh(x, y) places beside the place itself, the size is sigmoid(w, h) of the whole input, and the
score is objectness^0.6 x class^0.4.
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
    edges_from_centres,
    select,
)
from processors.models.image_input import ImageInput

__all__ = ["FastestDet"]

OBJECTNESS_POWER = 0.6
CLASS_POWER = 0.4


class FastestDet(ObjectDetector):
    """Decodes FastestDet."""

    default_input: ClassVar[ImageInput] = ImageInput(
        width_px=352, height_px=352, colour="bgr", scale=(1 / 255, 1 / 255, 1 / 255)
    )

    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        output = outputs[0]
        if output.ndim != 4 or output.shape[:2] != (1, 5 + self._class_count):
            raise self._misread(outputs, f"(1, {5 + self._class_count}, rows, columns)")
        grid_rows, grid_columns = output.shape[2:]
        cells = output[0].reshape(5 + self._class_count, -1).T
        # Clipped: a score of -0.0001 to the power of 0.6 is NaN.
        known = np.clip(cells[:, :1], 0, 1) ** OBJECTNESS_POWER
        rows, found, scores = select(known * np.clip(cells[:, 5:], 0, 1) ** CLASS_POWER, floors)
        raw = cells[rows, 1:5]
        places = np.stack([rows % grid_columns, rows // grid_columns], axis=1)
        centres = (places + np.tanh(raw[:, :2])) / (grid_columns, grid_rows)
        with np.errstate(over="ignore"):
            sizes = 1 / (1 + np.exp(-raw[:, 2:]))
        size_px = np.array([self._input.width_px, self._input.height_px] * 2)
        edges = edges_from_centres(np.concatenate([centres, sizes], axis=1)) * size_px
        return Candidates(edges=edges, scores=scores, classes=found)
