"""The door to pictures: give me region R of this picture at W x H pixels as RGB."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.geometry import WHOLE_PICTURE, Box

__all__ = ["ArrayPicture", "Picture", "pixel_rectangle"]


class Picture(Protocol):
    """A picture that can be read as RGB at any size.

    The daemon's decoded frame implements it with one swscale pass from YUV, so that no
    full-size RGB ever exists; :class:`ArrayPicture` does it for arrays in memory.
    """

    @property
    def width_px(self) -> int:
        """Width of the whole picture."""

    @property
    def height_px(self) -> int:
        """Height of the whole picture."""

    def rgb(self, region: Box, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """Return ``region`` scaled to ``(height_px, width_px, 3)`` uint8 RGB, C-contiguous.

        Args:
            region: Part of the picture, as ratios; the part outside the picture is cut off
                before scaling. The scaled part is the one of :func:`pixel_rectangle`.
            width_px: Width of the result.
            height_px: Height of the result.

        Raises:
            ValueError: If nothing of the region lies inside the picture.

        """

    def luma(self, region: Box, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """Return the brightness of ``region``, scaled to ``(height_px, width_px)`` uint8.

        Args:
            region: As for :meth:`rgb`.
            width_px: Width of the result.
            height_px: Height of the result.

        Raises:
            ValueError: If nothing of the region lies inside the picture.

        """


class ArrayPicture:
    """A picture held as an RGB array of shape (height, width, 3), dtype uint8."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                f"a picture needs uint8 pixels of shape (height, width, 3), "
                f"got {pixels.dtype} {pixels.shape}"
            )
        self._image = Image.fromarray(np.ascontiguousarray(pixels))

    @property
    def width_px(self) -> int:
        """Width of the whole picture."""
        return self._image.width

    @property
    def height_px(self) -> int:
        """Height of the whole picture."""
        return self._image.height

    def rgb(self, region: Box, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """See :meth:`Picture.rgb`; shrinks by area averaging, enlarges bilinearly."""
        left, top, right, bottom = pixel_rectangle(self, region)
        shrinks = width_px < right - left and height_px < bottom - top
        if (left, top, right, bottom) == (0, 0, width_px, height_px) == (0, 0, *self._image.size):
            scaled = self._image
        else:
            scaled = self._image.resize(
                (width_px, height_px),
                Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR,
                box=(left, top, right, bottom),
            )
        return np.ascontiguousarray(np.asarray(scaled, dtype=np.uint8))

    def luma(self, region: Box, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """See :meth:`Picture.luma`."""
        pixels = self.rgb(region, width_px=width_px, height_px=height_px)
        return np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.uint8)


def pixel_rectangle(picture: Picture, region: Box = WHOLE_PICTURE) -> tuple[int, int, int, int]:
    """Return ``region`` as whole pixels (left, top, right, bottom), never empty.

    Raises:
        ValueError: If nothing of the region lies inside the picture.

    """
    inside = region.clipped()
    if inside.width <= 0 or inside.height <= 0:
        raise ValueError(f"region {region} lies outside the picture")
    width, height = picture.width_px, picture.height_px
    left = min(int(inside.left * width), width - 1)
    top = min(int(inside.top * height), height - 1)
    right = max(left + 1, min(width, round(inside.right * width)))
    bottom = max(top + 1, min(height, round(inside.bottom * height)))
    return left, top, right, bottom
