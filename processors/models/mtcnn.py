"""MTCNN: three networks in a row, from many rough windows to a few faces with landmarks.

P-Net looks at a pyramid of the picture through windows of 12 x 12, R-Net at the candidates
as 24 x 24 crops, O-Net at what is left as 48 x 48. Coordinates are pixels of the view, where
a pixel's corner, not its centre, lies on whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.geometry import WHOLE_PICTURE, Box
from processors.models import mtcnn_graphs
from processors.models.face_detector import FoundFace, View, suppressed
from processors.models.runtime import Network, RuntimeOptions
from processors.picture import Picture

__all__ = ["Mtcnn", "MtcnnOptions"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

_CELL_PX, _STRIDE_PX = 12, 2
_RNET_PX, _ONET_PX = 24, 48
# What the original fills crops with where they leave the picture: 0 after normalisation.
_OUTSIDE = 127


@dataclass(frozen=True, kw_only=True)
class MtcnnOptions:
    """Settings of the cascade."""

    long_side_px: int = 1280
    """Pictures (or the region looked at) are shrunk to this first."""
    min_face_px: int = 40
    """Smallest face looked for, in pixels of the shrunk picture."""
    pyramid_factor: float = 0.5
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.9)
    """Lowest score that passes P-Net, R-Net and O-Net."""
    max_candidates: tuple[int, int] = (400, 100)
    """Most crops shown to R-Net and to O-Net."""
    frame_below_px: int = 100
    """Pyramid levels up to this long get a frame: a face that fills the picture is missed else."""
    frame_ratio: float = 0.2
    """Width of the frame as a share of the level's long side."""

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> MtcnnOptions:
        """Read the options of a pack."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        return cls(**values)


class Mtcnn:
    """A face detector; shared by threads."""

    def __init__(
        self, files: Mapping[str, Path], options: MtcnnOptions, runtime: RuntimeOptions
    ) -> None:
        self._options = options
        self._pnet = Network(mtcnn_graphs.pnet(files["pnet"]), runtime)
        self._rnet = Network(mtcnn_graphs.rnet(files["rnet"]), runtime)
        self._onet = Network(mtcnn_graphs.onet(files["onet"]), runtime)
        self._logits = [math.log(score / (1 - score)) for score in options.thresholds]

    def find(self, picture: Picture, *, region: Box = WHOLE_PICTURE) -> list[FoundFace]:
        """Return the faces in ``region``."""
        view = View(picture, region, long_side_px=self._options.long_side_px)
        windows = self._propose(view)
        if not len(windows):
            return []
        # Most pictures without a face still have a window or two that gets here.
        image = Image.fromarray(view.rgb())
        windows = self._refine(image, windows)
        return self._finish(view, image, windows) if len(windows) else []

    def _propose(self, view: View) -> Floats:
        """Return windows (x1, y1, x2, y2) that may hold a face."""
        found = [self._cells(level) for level in _pyramid(view, self._options)]
        windows = np.concatenate([windows for windows, _ in found] or [np.empty((0, 4))])
        scores = np.concatenate([scores for _, scores in found] or [np.empty(0)])
        keep = suppressed(windows, scores, overlap=0.7)[: self._options.max_candidates[0]]
        return windows[keep]

    def _cells(self, level: _Level) -> tuple[Floats, Floats]:
        """Return the windows of one pyramid level in pixels of the view, and their logits."""
        [cells] = self._pnet.run(pixels=level.pixels[None])
        logits = cells[0, 4]
        rows, columns = np.nonzero(logits > self._logits[0])
        scores = logits[rows, columns].astype(np.float64)
        if len(scores) > self._options.max_candidates[0]:
            best = np.argpartition(-scores, self._options.max_candidates[0])
            best = best[: self._options.max_candidates[0]]
            rows, columns, scores = rows[best], columns[best], scores[best]
        corners = np.stack([columns, rows, columns, rows], axis=1) * float(_STRIDE_PX)
        corners[:, 2:] += _CELL_PX
        kept = suppressed(corners, scores, overlap=0.5)
        offsets = cells[0, :4, rows[kept], columns[kept]].astype(np.float64)
        windows = corners[kept] + offsets * _CELL_PX
        return level.in_view(windows), scores[kept]

    def _refine(self, image: Image.Image, windows: Floats) -> Floats:
        windows = _squared(windows)
        [heads] = self._rnet.run(pixels=_crops(image, windows, _RNET_PX))
        passed = heads[:, 4] > self._logits[1]
        windows, heads = windows[passed], heads[passed].astype(np.float64)
        windows = _moved(windows, heads[:, :4])
        keep = suppressed(windows, heads[:, 4], overlap=0.7)
        return windows[keep[: self._options.max_candidates[1]]]

    def _finish(self, view: View, image: Image.Image, windows: Floats) -> list[FoundFace]:
        windows = _squared(windows)
        [heads] = self._onet.run(pixels=_crops(image, windows, _ONET_PX))
        passed = heads[:, 14] > self._logits[2]
        windows, heads = windows[passed], heads[passed].astype(np.float64)
        boxes = _moved(windows, heads[:, :4])
        # Five x, then five y, as shares of the window O-Net saw.
        shares = heads[:, 4:14].reshape(-1, 2, 5).transpose(0, 2, 1)
        sizes = (windows[:, 2:] - windows[:, :2])[:, None]
        points = windows[:, None, :2] + shares * sizes
        keep = suppressed(boxes, heads[:, 14], overlap=0.7, of_smaller=True)
        scores = 1 / (1 + np.exp(-heads[:, 14]))
        return [view.face(boxes[i], points[i], float(scores[i])) for i in keep]


@dataclass(frozen=True, kw_only=True)
class _Level:
    """One level of the pyramid, perhaps with a frame around it."""

    pixels: Pixels
    scale_x: float
    scale_y: float
    """Pixels of the level for one of the view."""
    frame_px: int

    def in_view(self, windows: Floats) -> Floats:
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])
        moved: Floats = (windows - self.frame_px) / scale
        return moved


def _pyramid(view: View, options: MtcnnOptions) -> Iterator[_Level]:
    """Yield the picture smaller and smaller, each level made from the one before."""
    scale = _CELL_PX / options.min_face_px
    image: Image.Image | None = None
    while True:
        size = max(1, round(view.width_px * scale)), max(1, round(view.height_px * scale))
        frame = _frame_px(size, options)
        if min(size) + 2 * frame < _CELL_PX or max(size) < _CELL_PX // 2:
            return
        if image is None:
            image = Image.fromarray(view.rgb(width_px=size[0], height_px=size[1]))
        else:
            image = image.resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        if frame:
            pixels = np.pad(pixels, ((frame, frame), (frame, frame), (0, 0)), mode="edge")
        yield _Level(
            pixels=pixels,
            scale_x=size[0] / view.width_px,
            scale_y=size[1] / view.height_px,
            frame_px=frame,
        )
        scale *= options.pyramid_factor


def _frame_px(size: tuple[int, int], options: MtcnnOptions) -> int:
    if max(size) > options.frame_below_px:
        return 0
    return math.ceil(max(size) * options.frame_ratio)


def _squared(windows: Floats) -> Floats:
    """Return squares with the same centres and the longer side."""
    centre = (windows[:, :2] + windows[:, 2:]) / 2
    half = (windows[:, 2:] - windows[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _moved(windows: Floats, offsets: Floats) -> Floats:
    """Move each edge by its offset, a share of the window's size."""
    sizes = windows[:, 2:] - windows[:, :2]
    moved: Floats = windows + offsets * np.concatenate([sizes, sizes], axis=1)
    return moved


def _crops(image: Image.Image, windows: Floats, size_px: int) -> Pixels:
    crops = np.full((len(windows), size_px, size_px, 3), _OUTSIDE, dtype=np.uint8)
    for crop, window in zip(crops, windows.tolist(), strict=True):
        _crop_into(crop, image, window)
    return crops


def _crop_into(crop: Pixels, image: Image.Image, window: list[float]) -> None:
    """Fill the part of ``crop`` that lies inside the picture, in whole pixels of the crop."""
    size_px = len(crop)
    x1, y1, x2, _ = window
    pixel = max(x2 - x1, 1e-6) / size_px
    first_x, last_x = _inside(x1, pixel, image.width, size_px)
    first_y, last_y = _inside(y1, pixel, image.height, size_px)
    if first_x >= last_x or first_y >= last_y:
        return
    part = (
        max(0.0, x1 + first_x * pixel),
        max(0.0, y1 + first_y * pixel),
        min(float(image.width), x1 + last_x * pixel),
        min(float(image.height), y1 + last_y * pixel),
    )
    scaled = image.resize(
        (last_x - first_x, last_y - first_y), Image.Resampling.BILINEAR, box=part, reducing_gap=1.5
    )
    crop[first_y:last_y, first_x:last_x] = np.asarray(scaled)


def _inside(start: float, pixel: float, limit: int, size_px: int) -> tuple[int, int]:
    """Return the first and the last-but-one pixel of a crop that lie inside 0 to ``limit``."""
    first = max(0, math.ceil(-start / pixel - 1e-9))
    last = min(size_px, math.floor((limit - start) / pixel + 1e-9))
    return first, last
