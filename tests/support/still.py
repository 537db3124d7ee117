"""A camera at a still scene, and something that moves when a test says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamd.kvs.fragments import FragmentEnded, Packet
from tests.support.media import Video, encode

__all__ = ["FPS", "still_pictures", "still_video"]

FPS = 10
Event = Packet | FragmentEnded


def still_pictures(
    seconds: float, visits: Sequence[tuple[float, float]] = (), *, noise: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yield a room at 10 pictures a second; during visits a dark square crosses it."""
    random = np.random.default_rng(3)
    ys, xs = np.mgrid[0:120, 0:160]
    room = np.stack([90 + xs // 2, 80 + ys // 2, 60 + (xs + ys) // 3], axis=2)
    for index in range(round(seconds * FPS)):
        at = index / FPS
        picture = room + random.integers(-noise, noise + 1, room.shape)
        for begin, end in visits:
            if begin <= at < end:
                left = round((at - begin) / (end - begin) * 130)
                picture[50:90, left : left + 30] = (20, 30, 40)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def still_video(
    seconds: float, visits: Sequence[tuple[float, float]] = (), *, gop: int = 20, **how: Any
) -> Video:
    """Encode it, with a keyframe every two seconds."""
    return encode(still_pictures(seconds, visits), fps=FPS, gop=gop, **how)
