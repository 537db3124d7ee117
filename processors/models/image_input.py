"""How a picture becomes the input tensor of a network, and how boxes find their way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.errors import PackFormatError
from processors.geometry import Box
from processors.picture import Picture, pixel_rectangle

__all__ = ["FITS", "ImageInput", "Placement"]

COLOURS = ("rgb", "bgr")
FITS = ("stretch", "top-left", "centre")
MAX_SIDE_PX = 4096
"""No detector wants more; a wrong description must not allocate gigabytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a part of the picture lies in a network's input."""

    part: Box
    """The part of the picture, as ratios of the whole, exactly as scaled."""
    left_px: int
    top_px: int
    width_px: int
    height_px: int

    def to_picture(self, edges_px: NDArray[np.float32]) -> NDArray[np.float64]:
        """Map boxes from input pixels to ratios of the whole picture, cut to the part.

        Args:
            edges_px: Rows of left, top, right, bottom in pixels of the input.

        """
        origin = np.array([self.left_px, self.top_px] * 2, dtype=np.float64)
        extent = np.array([self.width_px, self.height_px] * 2, dtype=np.float64)
        ratios = np.clip((edges_px - origin) / extent, 0.0, 1.0)
        corner = np.array([self.part.left, self.part.top] * 2)
        size = np.array([self.part.width, self.part.height] * 2)
        return np.asarray(corner + ratios * size, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInput:
    """What a network wants to be shown: a float32 tensor (1, 3, height, width)."""

    width_px: int
    height_px: int
    colour: str = "rgb"
    """Order of the channels, ``rgb`` or ``bgr``."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Taken from each channel, in that order, at values 0 to 255."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Each channel is multiplied by this after the mean is gone."""
    fit: str = "stretch"
    """``stretch`` to the size; or keep the aspect, at the ``top-left`` or in the ``centre``."""
    fill: float = 114.0
    """Value 0 to 255 of what the picture does not cover."""

    def __post_init__(self) -> None:
        if not (0 < self.width_px <= MAX_SIDE_PX and 0 < self.height_px <= MAX_SIDE_PX):
            raise PackFormatError(
                f"an input needs a size of 1 to {MAX_SIDE_PX}, got {self.width_px}x{self.height_px}"
            )
        if self.colour not in COLOURS:
            raise PackFormatError(f"colour must be one of {COLOURS}, got {self.colour!r}")
        if self.fit not in FITS:
            raise PackFormatError(f"fit must be one of {FITS}, got {self.fit!r}")
        if len(self.mean) != len(self.scale) or len(self.mean) != 3:
            raise PackFormatError("mean and scale need three numbers each")

    def tensor(self, picture: Picture, region: Box) -> tuple[NDArray[np.float32], Placement]:
        """Scale ``region`` of the picture into a tensor.

        Raises:
            ValueError: If nothing of the region lies inside the picture.

        """
        place = self._place(picture, region)
        pixels = picture.rgb(region, width_px=place.width_px, height_px=place.height_px)
        shape = (1, 3, self.height_px, self.width_px)
        tensor = np.empty(shape, dtype=np.float32)
        rows = slice(place.top_px, place.top_px + place.height_px)
        columns = slice(place.left_px, place.left_px + place.width_px)
        covered = (place.width_px, place.height_px) == (self.width_px, self.height_px)
        order = range(3) if self.colour == "rgb" else range(2, -1, -1)
        for channel, source in enumerate(order):
            mean, scale = self.mean[channel], self.scale[channel]
            plane = tensor[0, channel]
            if not covered:
                plane.fill((self.fill - mean) * scale)
            inside = plane[rows, columns]
            # uint8 to float32 on the way: no second copy of the picture is made.
            np.multiply(pixels[:, :, source], np.float32(scale), out=inside)
            if mean:
                inside -= np.float32(mean * scale)
        return tensor, place

    def _place(self, picture: Picture, region: Box) -> Placement:
        left, top, right, bottom = pixel_rectangle(picture, region)
        width, height = self.width_px, self.height_px
        if self.fit != "stretch":
            ratio = min(width / (right - left), height / (bottom - top))
            width = max(1, min(width, int((right - left) * ratio)))
            height = max(1, min(height, int((bottom - top) * ratio)))
        centred = self.fit == "centre"
        return Placement(
            part=Box(
                left=left / picture.width_px,
                top=top / picture.height_px,
                width=(right - left) / picture.width_px,
                height=(bottom - top) / picture.height_px,
            ),
            left_px=(self.width_px - width) // 2 if centred else 0,
            top_px=(self.height_px - height) // 2 if centred else 0,
            width_px=width,
            height_px=height,
        )
