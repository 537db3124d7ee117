"""The plain loop many begin with, run as its own process: argv is clip, network, every n-th.

Prints CPU seconds and how many frames were analysed. Kept as one would write it.
"""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import onnxruntime

__all__: list[str] = []


def _main(clip: str, network: str, every: int) -> None:
    session = onnxruntime.InferenceSession(network)
    feed = session.get_inputs()[0]
    size = 416
    capture = cv2.VideoCapture(clip)
    analyzed = index = 0
    started = time.process_time()
    while True:
        ok, picture = capture.read()
        if not ok:
            break
        if index % every == 0:
            small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
            tensor = (small / 255.0).transpose(2, 0, 1)[None].astype(np.float32)
            session.run(None, {feed.name: tensor})
            analyzed += 1
        index += 1
    print(time.process_time() - started, analyzed)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
