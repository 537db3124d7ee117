"""The plain loop many begin with, as its own process: argv is clip, pack, models, fps, n-th, seconds.

Kept as one would write it: VideoCapture, resize, ONNX Runtime with its defaults. The file is read
at the pace of a camera. Prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tests.bench.plain import plain_detector
from tests.bench.processes import pss_mb

__all__: list[str] = []


def _main(clip: str, pack: str, models: str, fps: int, every: int, seconds: float) -> None:
    detect, size = plain_detector(pack, Path(models), None)
    capture = cv2.VideoCapture(clip)
    found = []
    index = 0
    started, begin = time.process_time(), time.monotonic()
    while index < seconds * fps:
        time.sleep(max(0.0, begin + index / fps - time.monotonic()))  # as a camera would
        ok, picture = capture.read()
        if not ok:
            break
        if index % every == 0:
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            found.append(detect(np.asarray(small, np.uint8)))
        index += 1
    cpu = time.process_time() - started
    answer = {"cpu": cpu, "frames": index, "found": found, "memory_mb": pss_mb([os.getpid()])}
    print(json.dumps(answer))


if __name__ == "__main__":
    numbers = int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
    _main(sys.argv[1], sys.argv[2], sys.argv[3], *numbers)
