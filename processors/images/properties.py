"""The properties of a picture, of what stands in front in it, and of the rest.

The foreground is where objects were found: the pixels inside their boxes. The background is
every other pixel. Where no object was found, or where the boxes leave nothing, neither is told:
there is no depth in a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.images.colours import DominantColour, dominant_colours
from processors.images.quality import Luma, Mask, brightness, contrast, luma, sharpness
from processors.picture import Picture

__all__ = ["AreaProperties", "PictureProperties", "picture_properties"]

LONG_SIDE_PX = 512
"""Larger pictures are scaled down to this first, so that sharpness means detail in proportion
to the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaProperties:
    """Quality and colours of the foreground or the background."""

    brightness: float
    sharpness: float
    colours: Sequence[DominantColour]


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureProperties:
    """Quality and colours of a picture; the formulas are in ``images/quality.py``."""

    brightness: float
    sharpness: float
    contrast: float
    colours: Sequence[DominantColour]
    foreground: AreaProperties | None
    background: AreaProperties | None
    object_colours: Sequence[Sequence[DominantColour]]
    """The colours inside each box given, in that order."""


def picture_properties(
    picture: Picture,
    *,
    foreground: Iterable[Box] = (),
    objects: Iterable[Box] = (),
    max_colours: int = 10,
) -> PictureProperties:
    """Compute the properties of a picture.

    Args:
        picture: The picture.
        foreground: Boxes of what stands in front.
        objects: Boxes whose colours are wanted.
        max_colours: At most so many colours of each area.

    """
    pixels = _pixels(picture)
    y = luma(pixels)
    front = _inside(foreground, pixels)
    both = bool(front.any()) and not bool(front.all())
    return PictureProperties(
        brightness=brightness(y),
        sharpness=sharpness(y),
        contrast=contrast(y),
        colours=dominant_colours(pixels.reshape(-1, 3), limit=max_colours),
        foreground=_area(pixels, y, front, max_colours) if both else None,
        background=_area(pixels, y, ~front, max_colours) if both else None,
        object_colours=[
            dominant_colours(pixels[_rectangle(box, pixels)].reshape(-1, 3), limit=max_colours)
            for box in objects
        ],
    )


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    width, height = picture.width_px, picture.height_px
    ratio = min(1.0, LONG_SIDE_PX / max(width, height))
    return picture.rgb(
        WHOLE_PICTURE,
        width_px=max(1, round(width * ratio)),
        height_px=max(1, round(height * ratio)),
    )


def _area(pixels: NDArray[np.uint8], y: Luma, where: Mask, max_colours: int) -> AreaProperties:
    return AreaProperties(
        brightness=brightness(y, where),
        sharpness=sharpness(y, where),
        colours=dominant_colours(pixels[where], limit=max_colours),
    )


def _inside(boxes: Iterable[Box], pixels: NDArray[np.uint8]) -> Mask:
    inside = np.zeros(pixels.shape[:2], dtype=np.bool_)
    for box in boxes:
        inside[_rectangle(box, pixels)] = True
    return inside


def _rectangle(box: Box, pixels: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return the rows and columns whose middles lie in a box."""
    height, width = pixels.shape[:2]
    part = box.clipped()
    return (
        slice(round(part.top * height), round(part.bottom * height)),
        slice(round(part.left * width), round(part.right * width)),
    )
