"""Whether something moved, from small planes of brightness. Pure.

Pictures are compared block by block: a person far away fills one block and changes nothing
in the mean over all. What a block does by itself - noise, leaves, a screen - is learnt, and
only what goes well beyond it counts. A change that all blocks share, as automatic exposure
makes it, is taken out.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.roi import Regions, polygon_overlap_area

__all__ = ["HEIGHT_PX", "WIDTH_PX", "Background", "Blocks", "Luma", "Motion", "Scene", "block_mask"]

WIDTH_PX: Final = 160
HEIGHT_PX: Final = 90
BLOCK_WIDTH, BLOCK_HEIGHT = 4, 3
COLUMNS, ROWS = WIDTH_PX // BLOCK_WIDTH, HEIGHT_PX // BLOCK_HEIGHT

FLOOR: Final = 2.5
"""Mean difference of a block in levels of 256 that encoders alone make (keyframes pulse)."""
NOISE_FACTOR: Final = 2.5
LEARNING_STEP: Final = 0.02
"""How fast a block's usual difference follows, in levels a look."""
MOST_NOISE: Final = 8.0
"""A block that changes more than this all the time is no noise to get used to."""
BACKGROUND_SHARE: Final = 0.25
"""Of a new keyframe in the background it is compared with."""
SHORT_NS: Final = 380_000_000
LONG_NS: Final = 980_000_000

Luma = NDArray[np.uint8]
"""Brightness, (90, 160)."""
Blocks = NDArray[np.float32]
"""A number for each block, (30, 40)."""


def block_mask(regions: Regions) -> tuple[Box, NDArray[np.bool_]]:
    """Return the part of the picture to look at, and which of its blocks count.

    Args:
        regions: The regions of interest of all that look at the stream; none: everything.

    """
    crop = regions.crop
    if not regions.shapes or crop.area <= 0:
        return WHOLE_PICTURE, np.ones((ROWS, COLUMNS), np.bool_)
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    for row in range(ROWS):
        for column in range(COLUMNS):
            block = Box(
                left=column / COLUMNS, top=row / ROWS, width=1 / COLUMNS, height=1 / ROWS
            ).within(crop)
            mask[row, column] = any(
                (shape.intersection(block).area if isinstance(shape, Box) else polygon_overlap_area(shape, block)) > 0
                for shape in regions.shapes
            )  # fmt: skip
    return crop, mask


class Scene:
    """What is usual in a scene, and how far two pictures of it differ."""

    def __init__(self, mask: NDArray[np.bool_], *, noise: Blocks | None = None) -> None:
        self._mask = mask
        self.noise: Blocks = (
            np.full((ROWS, COLUMNS), 0.5, np.float32) if noise is None else noise.copy()
        )

    def change(self, one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
        """Return how far two pictures differ: above 1 something moved."""
        return self._score(_differences(one, other))

    def watch(self, one: Luma, other: Luma) -> float:
        """As :meth:`change`, and get used to what the blocks do."""
        found = _differences(one, other)
        score = self._score(found)
        # Towards the median over time: what happens less than half of the time is no noise.
        self.noise += np.where(found > self.noise, LEARNING_STEP, -LEARNING_STEP).astype(np.float32)
        np.clip(self.noise, 0.0, MOST_NOISE, out=self.noise)
        return score

    def _score(self, found: Blocks) -> float:
        return float(
            np.max(found / (self.noise * NOISE_FACTOR + FLOOR), where=self._mask, initial=0.0)
        )


def _differences(one: NDArray[np.generic], other: NDArray[np.generic]) -> Blocks:
    difference = one.astype(np.float32) - other.astype(np.float32)
    blocks = (ROWS, BLOCK_HEIGHT, COLUMNS, BLOCK_WIDTH)
    shared = np.median(difference[1::BLOCK_HEIGHT, 1::BLOCK_WIDTH])
    found = np.abs(difference - shared).reshape(blocks)
    mean: Blocks = found.mean(axis=(1, 3), dtype=np.float32)
    return mean


class Motion:
    """Looks at decoded pictures several times a second and says when something moved."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._seen: deque[tuple[int, Luma]] = deque(maxlen=16)

    def look(self, time_ns: int, luma: Luma) -> float:
        """Take the next picture; return how far it differs from those before: above 1 it moved.

        Compared with half a second ago, and with a second ago for what is slow.
        """
        if self._seen and time_ns <= self._seen[-1][0]:
            self._seen.clear()
        score = 0.0
        short = self._before(time_ns - SHORT_NS)
        long = self._before(time_ns - LONG_NS)
        if short is not None:
            score = self._scene.change(luma, short)
        if long is not None:
            score = max(score, self._scene.watch(luma, long))
        self._seen.append((time_ns, luma))
        return score

    def clear(self) -> None:
        """Forget the last pictures: the next ones do not follow on."""
        self._seen.clear()

    def _before(self, time_ns: int) -> Luma | None:
        found = None
        for at, luma in self._seen:
            if at > time_ns:
                break
            found = luma
        return found


class Background:
    """What keyframes showed lately."""

    def __init__(self, scene: Scene, luma: Luma) -> None:
        self._scene = scene
        self._mean = luma.astype(np.float32)

    def judge(self, luma: Luma) -> float:
        """Return how far a keyframe differs, above 1 something came or went; then learn it."""
        score = self._scene.change(luma, self._mean)
        self._mean += BACKGROUND_SHARE * (luma - self._mean)
        return score
