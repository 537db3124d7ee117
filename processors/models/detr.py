"""Detection transformers: RT-DETR, D-FINE, DEIM and what exports like them.

Three layouts, told apart by names and shapes:

* outputs ``labels``, ``boxes``, ``scores`` with a second input ``orig_target_sizes``: the
  graph has picked its best queries and scales boxes to the size it is told. We tell it the
  size of its own input and scale ourselves.
* two outputs, logits (1, queries, classes) and boxes (1, queries, 4): before any choice;
  boxes are centre x, centre y, width, height as ratios, logits want a sigmoid.
* one output (1, queries, 4 + classes): the same in one piece with the sigmoid done.

There are few doubles, but DEIMv2's small networks make some: suppression still pays.
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

__all__ = ["Detr"]

SIZES_INPUT = "orig_target_sizes"


class Detr(ObjectDetector):
    """Decodes detection transformers."""

    default_input: ClassVar[ImageInput] = ImageInput(
        width_px=640, height_px=640, colour="rgb", scale=(1 / 255, 1 / 255, 1 / 255)
    )

    def _feeds(self, tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        feeds = super()._feeds(tensor)
        if SIZES_INPUT in self._network.inputs:
            size = [[self._input.width_px, self._input.height_px]]
            feeds[SIZES_INPUT] = np.array(size, dtype=np.int64)
        return feeds

    def _decode(self, outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
        shapes = [output.shape for output in outputs]
        classes = self._class_count
        match shapes:
            case [(1, count), (1, boxes, 4), (1, scores)] if count == boxes == scores:
                return _decode_chosen(outputs, floors)
            case [(1, count, width), (1, boxes, 4)] if (count, width) == (boxes, classes):
                probabilities = _sigmoid(outputs[0][0])
                return self._decode_queries(outputs[1][0], probabilities, floors)
            case [(1, _, width)] if width == 4 + classes:
                return self._decode_queries(outputs[0][0, :, :4], outputs[0][0, :, 4:], floors)
        raise self._misread(
            outputs,
            f"labels (1, n), boxes (1, n, 4), scores (1, n); or logits (1, n, {classes}) and "
            f"boxes (1, n, 4); or (1, n, {4 + classes})",
        )

    def _decode_queries(
        self, boxes: NDArray[Any], scores: NDArray[Any], floors: Floors
    ) -> Candidates:
        rows, found, picked = select(scores, floors)
        size = np.array([self._input.width_px, self._input.height_px] * 2, dtype=np.float32)
        edges = edges_from_centres(boxes[rows]) * size
        return Candidates(edges=edges, scores=picked, classes=found)


def _decode_chosen(outputs: Sequence[NDArray[Any]], floors: Floors) -> Candidates:
    labels, boxes, scores = (output[0] for output in outputs)
    lowest = np.array([floors.get(int(label), np.inf) for label in labels], dtype=np.float32)
    good = scores >= lowest
    return Candidates(edges=boxes[good], scores=scores[good], classes=labels[good].astype(np.intp))


def _sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    with np.errstate(over="ignore"):  # exp(+large) is infinite, and the result 0
        return np.asarray(1 / (1 + np.exp(-logits)))
