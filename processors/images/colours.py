"""Dominant colours: the share of a picture's pixels that each named colour of CSS stands for.

Every pixel counts for the CSS colour nearest to it in CIELAB (CIE 1976 distance, D65), so the
shares of a picture add up to 100 % and a colour means the same in every picture. As in the
answers of Amazon Rekognition, RGB values and hex code are those of the named colour.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

__all__ = [
    "MAX_COLOURS",
    "MIN_SHARE_PERCENT",
    "SIMPLIFIED",
    "DominantColour",
    "css_colours",
    "dominant_colours",
]

SIMPLIFIED = (
    "black", "blue", "brown", "cyan", "green", "grey",
    "orange", "pink", "purple", "red", "white", "yellow",
)  # fmt: skip
"""The twelve simplified colours."""

MAX_COLOURS = 20
"""The most DetectLabels returns."""
MIN_SHARE_PERCENT = 100 / MAX_COLOURS
"""A colour of fewer pixels dominates nothing; but a picture always has one dominant colour."""
MAX_SAMPLES = 4096
"""So many pixels, evenly spread, stand for all: a share is then exact to about 1 %."""
_GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class DominantColour:
    """One colour of a picture."""

    css_name: str
    simplified: str
    """One of :data:`SIMPLIFIED`."""
    red: int
    green: int
    blue: int
    share_percent: float
    """Of the pixels looked at."""

    @property
    def hex_code(self) -> str:
        """Such as ``#2f4f4f``."""
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CssColour:
    """A named colour of CSS."""

    name: str
    simplified: str
    rgb: tuple[int, int, int]


def dominant_colours(pixels: NDArray[np.uint8], *, limit: int) -> list[DominantColour]:
    """Return the colours with the largest shares, largest first, by name where equal.

    Args:
        pixels: Shape (n, 3), RGB; none have no colour.
        limit: At most so many, 0 to :data:`MAX_COLOURS`.

    """
    if not len(pixels):
        return []
    sampled = _spread(pixels)
    # As numbers 0xRRGGBB, which sort many times faster than rows.
    red, green, blue = sampled.T.astype(np.uint32)
    numbers = red << 16 | green << 8 | blue
    counted, counts = np.unique(numbers, return_counts=True)
    distinct = (counted[:, None] >> np.array([16, 8, 0], dtype=np.uint32) & 0xFF).astype(np.uint8)
    shares = np.bincount(_nearest(distinct), weights=counts) * (100 / len(sampled))
    by_share = sorted(
        zip(shares.tolist(), css_colours(), strict=False), key=lambda each: (-each[0], each[1].name)
    )
    dominant = [each for each in by_share if each[0] >= MIN_SHARE_PERCENT] or by_share[:1]
    return [
        DominantColour(
            css_name=colour.name,
            simplified=colour.simplified,
            red=colour.rgb[0],
            green=colour.rgb[1],
            blue=colour.rgb[2],
            share_percent=min(100.0, share),
        )
        for share, colour in dominant[:limit]
    ]


@functools.cache
def css_colours() -> tuple[CssColour, ...]:
    """Return the named colours of CSS, each colour once."""
    text = resources.files(__package__).joinpath("css_colours.toml").read_text(encoding="utf-8")
    return tuple(
        CssColour(name=name, simplified=simplified, rgb=_rgb(name))
        for simplified, names in tomllib.loads(text).items()
        for name in names
    )


def _rgb(name: str) -> tuple[int, int, int]:
    red, green, blue, *_ = ImageColor.getrgb(name)
    return red, green, blue


def _spread(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return evenly spread pixels, few enough.

    A fixed step would hit the same columns in every row; multiples of the golden ratio do not.
    """
    if len(pixels) <= MAX_SAMPLES:
        return pixels
    places = np.arange(MAX_SAMPLES) * _GOLDEN_RATIO % 1
    return pixels[(places * len(pixels)).astype(np.intp)]


def _nearest(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the index of the CSS colour nearest to each pixel."""
    # |a - b|^2 = |a|^2 - 2 a·b + |b|^2, where |a|^2 is the same for all colours. Written out:
    # a matrix product would start threads for three columns.
    light, a, b = np.float32(2) * _lab(pixels).astype(np.float32).T[:, :, None]
    palette_light, palette_a, palette_b, length = _palette()
    scores = length - light * palette_light - a * palette_a - b * palette_b
    return np.asarray(np.argmin(scores, axis=1))


@functools.cache
def _palette() -> NDArray[np.float32]:
    """Return L, a, b and |b|^2 of the CSS colours, a row each."""
    lab = _lab(np.array([colour.rgb for colour in css_colours()], dtype=np.uint8)).T
    return np.vstack([lab, (lab**2).sum(axis=0)]).astype(np.float32)


# sRGB (IEC 61966-2-1) to CIE XYZ, divided by the white point D65.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])
_RATIOS = np.arange(256) / 255
_LINEAR = np.where(_RATIOS <= 0.04045, _RATIOS / 12.92, ((_RATIOS + 0.055) / 1.055) ** 2.4)
_KNEE = (6 / 29) ** 3


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return sRGB pixels of shape (n, 3) as CIELAB."""
    xyz = (_LINEAR[rgb][:, None, :] * _TO_XYZ).sum(axis=2)
    root = np.where(xyz > _KNEE, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
