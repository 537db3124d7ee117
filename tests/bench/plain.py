"""The detector as a user of the network writes it: numpy, OpenCV, ONNX Runtime.

Only the rows ``loop`` and ``pipe`` use it. It finds what streamd's own finds, with the score
that streamd tells as the asked confidence; where the pack is not NanoDet, streamd's analyzer
takes its place, with the sessions of the row.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["MIN_CONFIDENCE", "NANODET", "NANODET_FILE", "Found", "plain_detector"]

NANODET = "nanodet-plus-m"
NANODET_FILE = "object_nanodet_plus_m_416.onnx"
MIN_CONFIDENCE = 60.0
"""Of all rows, in percent: what the stream processor asks for."""
SIZE = 416
SCORE = 0.45  # told as 60 %
OVERLAP = 0.6
PERSON = 0

Found = list[tuple[float, float, float, float]]
"""Left, top, right, bottom of people, as ratios."""
Pixels = NDArray[np.uint8]


def plain_detector(
    pack: str, models: Path, options: onnxruntime.SessionOptions | None
) -> tuple[Callable[[Pixels], Found], tuple[int, int]]:
    """Return a function from BGR pixels to people, and the width and height it wants.

    Args:
        pack: The label pack.
        models: Where packs are.
        options: Of the sessions; ``None``: ONNX Runtime's defaults.

    """
    if pack == NANODET:
        return _NanoDet(models / NANODET_FILE, options), (SIZE, SIZE)
    return _of_pack(pack, models, options), (640, 360)


class _NanoDet:
    def __init__(self, path: Path, options: onnxruntime.SessionOptions | None) -> None:
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.input = self.session.get_inputs()[0].name
        places = []
        for stride in (8, 16, 32, 64):
            side = -(-SIZE // stride)
            places += [(x * stride, y * stride, stride) for y in range(side) for x in range(side)]
        self.places = np.array(places, np.float32)

    def __call__(self, small: Pixels) -> Found:
        tensor = (small - np.array([103.53, 116.28, 123.675])) * [0.017429, 0.017507, 0.017125]
        tensor = tensor.transpose(2, 0, 1)[None].astype(np.float32)
        output = self.session.run(None, {self.input: tensor})[0][0]
        scores, bins = output[:, PERSON], output[:, 80:].reshape(-1, 4, 8)
        rows = scores >= SCORE
        weights = np.exp(bins[rows])
        sides = (weights / weights.sum(-1, keepdims=True)) @ np.arange(8)
        x, y, stride = self.places[rows].T
        sides = sides * stride[:, None]
        boxes = np.stack([x - sides[:, 0], y - sides[:, 1], x + sides[:, 2], y + sides[:, 3]], 1)
        boxes = np.clip(boxes / SIZE, 0, 1)
        whole = boxes.copy()
        whole[:, 2:] -= whole[:, :2]
        keep = cv2.dnn.NMSBoxes(whole.tolist(), scores[rows].tolist(), SCORE, OVERLAP)
        return [tuple(float(edge) for edge in boxes[row]) for row in np.array(keep).flatten()]  # type: ignore[misc]  # four edges


def _of_pack(
    pack: str, models: Path, options: onnxruntime.SessionOptions | None
) -> Callable[[Pixels], Found]:
    from processors.models import runtime
    from processors.models.packs import load_face_analyzer, load_label_analyzer
    from processors.picture import ArrayPicture

    def settings(options: runtime.RuntimeOptions) -> Any:
        del options  # those of the row
        return mine or onnxruntime.SessionOptions()

    mine = options
    runtime._session_options = settings
    analyzer = load_label_analyzer(
        pack, models, faces=lambda: load_face_analyzer("builtin", models)
    )

    def detect(small: Pixels) -> Found:
        picture = ArrayPicture(cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.uint8))
        found = analyzer.detect(picture, min_confidence_percent=MIN_CONFIDENCE)
        boxes = [each.box for each in found if each.name == "PERSON"]
        return [(b.left, b.top, b.left + b.width, b.top + b.height) for b in boxes]

    return detect
