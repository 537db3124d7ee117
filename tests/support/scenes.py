"""Footage with a real face, made from a photograph that ships with scikit-image."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.media import Video, encode

__all__ = ["astronaut", "astronaut_jpeg", "face_pictures", "face_video", "photo"]


def photo(name: str) -> Image.Image:
    """Return a photograph of scikit-image's package folder, RGB."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / name) as image:
        return image.convert("RGB")


@cache
def astronaut() -> Image.Image:
    """Return the portrait of one astronaut, 512 x 512 pixels."""
    return photo("astronaut.png")


@cache
def astronaut_jpeg() -> bytes:
    """Return the portrait as a JPEG file."""
    target = io.BytesIO()
    astronaut().save(target, "JPEG", quality=92)
    return target.getvalue()


@cache
def face_video(seconds: float = 4.0, *, fps: int = 10, gop: int = 10, codec: str = "h264") -> Video:
    """Return a slow pan over the astronaut: one face in every picture."""
    return encode(face_pictures(round(seconds * fps)), fps=fps, gop=gop, codec=codec)


def face_pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield RGB pictures of 448 x 336 pixels with one face in each."""
    for index in range(count):
        left = 40 * index // max(1, count - 1)
        yield np.asarray(astronaut().crop((left, 0, left + 448, 336)), np.uint8)
