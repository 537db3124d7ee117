"""The clips that are measured: 1080p30 H.264 with sensor noise, made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.media import Video, encode
from tests.support.scenes import photo

__all__ = ["FPS", "make_clip"]

FPS = 30
WIDTH, HEIGHT = 1920, 1080


def make_clip(seconds: int, shared: Path) -> tuple[str, Video]:
    """Return a busy clip and what it shows: people from real footage, or a pan over a portrait."""
    footage = shared / "media" / "video" / "one_by_one_a.mp4"
    if footage.is_file():
        pictures, what = _footage(footage, seconds), "one_by_one_a, scaled"
    else:
        pictures, what = _portrait(seconds), "pan over a portrait"
    # As cameras do: a constant 4 Mbit/s, no B-frames. -1 turns the constant quality off.
    rate = {"b": "4000000", "maxrate": "4000000", "bufsize": "4000000"}
    options = {"preset": "veryfast", "crf": "-1", **rate}
    return what, encode(_noisy(pictures), fps=FPS, gop=2 * FPS, options=options)


def _footage(path: Path, seconds: int) -> Iterator[NDArray[np.uint8]]:
    # A person is at the table from 6.4 s on; 10 pictures a second, each shown three times.
    with av.open(str(path)) as container:
        shown = 0
        for frame in container.decode(video=0):
            if frame.time is None or frame.time < 7:
                continue
            scaled = frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray().astype(np.uint8)
            for _ in range(3):
                yield scaled
                shown += 1
                if shown >= seconds * FPS:
                    return


def _portrait(seconds: int) -> Iterator[NDArray[np.uint8]]:
    wide = photo("astronaut.png").resize((2560, 2560))
    for index in range(seconds * FPS):
        left = index % 600
        yield np.asarray(wide.crop((left, 100, left + WIDTH, 100 + HEIGHT)), np.uint8)


def _noisy(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    noise = random.normal(0, 3, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.int16)
    for picture in pictures:
        y, x = random.integers(0, 64, 2)
        grainy = picture + noise[y : y + HEIGHT, x : x + WIDTH]
        yield np.clip(grainy, 0, 255).astype(np.uint8)
