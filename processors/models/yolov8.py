"""YOLOv8 and what kept its output: YOLOv9, YOLO11, YOLO12; YOLOv10's and YOLO26's too.

Two layouts, told apart by shape:

* (1, 4 + classes, places): centre x, centre y, width, height in input pixels, then class
  scores after their sigmoid. Many boxes for one object.
* (1, rows, 6): left, top, right, bottom in input pixels, score, class index; the graph has
  chosen already ("end to end").
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

__all__ = ["YoloV8"]

END_TO_END_COLUMNS = 6


class YoloV8(ObjectDetector):
    """Decodes YOLOv8-like outputs."""

    default_input: ClassVar[ImageInput] = ImageInput(
        width_px=640,
        height_px=640,
        colour="rgb",
        scale=(1 / 255, 1 / 255, 1 / 255),
        fit="centre",
        fill=114.0,
    )

    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        output = outputs[0]
        if output.ndim == 3 and output.shape[:2] == (1, 4 + self._class_count):
            return _decode_places(output[0], floors)
        if output.ndim == 3 and (output.shape[0], output.shape[2]) == (1, END_TO_END_COLUMNS):
            return _decode_chosen(output[0], floors)
        raise self._misread(outputs, f"(1, {4 + self._class_count}, places) or (1, rows, 6)")


def _decode_places(output: NDArray[Any], floors: Floors) -> Candidates:
    rows, found, scores = select(output[4:].T, floors)
    return Candidates(edges=edges_from_centres(output[:4, rows].T), scores=scores, classes=found)


def _decode_chosen(output: NDArray[Any], floors: Floors) -> Candidates:
    classes = output[:, 5].astype(np.intp)
    lowest = np.array([floors.get(int(index), np.inf) for index in classes], dtype=np.float32)
    good = output[:, 4] >= lowest
    return Candidates(edges=output[good, :4], scores=output[good, 4], classes=classes[good])
