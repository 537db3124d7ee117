"""Aligned crops of faces: the five landmarks are laid onto a template by a similarity.

Points are complex numbers x + iy in the fitting: a similarity (turn, scale, shift) is then
z -> a z + b, and its weighted least-squares fit is one division.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.geometry import Box
from processors.models.face_embedder import Template
from processors.picture import Picture, pixel_rectangle

__all__ = ["Similarity", "aligned_crop", "fit_similarity"]

# The surroundings are read at this many times the resolution of the crop, at most: less
# blurs, more lets the final bilinear step skip pixels.
_OVERSAMPLING = 1.25


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """The map z -> a z + b of the plane, with x + iy for a point."""

    a: complex
    b: complex

    def inverse(self) -> Similarity:
        """Return the map back."""
        return Similarity(a=1 / self.a, b=-self.b / self.a)

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points of shape (n, 2)."""
        mapped = self.a * (points[:, 0] + 1j * points[:, 1]) + self.b
        return np.stack([mapped.real, mapped.imag], axis=1)


def fit_similarity(
    source: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> Similarity:
    """Return the similarity with the least weighted squared distance from source to target.

    Raises:
        ValueError: If the source points are all the same: every scale fits them.

    """
    z = source[:, 0] + 1j * source[:, 1]
    w = target[:, 0] + 1j * target[:, 1]
    share = weights / weights.sum()
    z_mean, w_mean = (share * z).sum(), (share * w).sum()
    spread = float((share * abs(z - z_mean) ** 2).sum())
    if not spread > 1e-12 * max(1.0, float(abs(z_mean)) ** 2):
        raise ValueError("five landmarks in one place cannot be aligned")
    a = complex((share * (z - z_mean).conj() * (w - w_mean)).sum() / spread)
    if a == 0:
        raise ValueError("landmarks without any likeness to a face cannot be aligned")
    return Similarity(a=a, b=complex(w_mean - a * z_mean))


def aligned_crop(
    picture: Picture, landmarks: NDArray[np.float64], template: Template
) -> NDArray[np.uint8]:
    """Return the face as (size, size, 3) RGB, black where the picture ends.

    Args:
        picture: The picture.
        landmarks: Shape (5, 2), as ratios of the picture.
        template: Where they shall lie.

    Raises:
        ValueError: If the landmarks cannot be aligned, or lie outside the picture.

    """
    whole = np.array([picture.width_px, picture.height_px], dtype=np.float64)
    to_picture = fit_similarity(landmarks * whole, template.points_px, template.weights).inverse()
    region = _surroundings(to_picture, template.size_px, picture)
    left, top, right, bottom = pixel_rectangle(picture, region)
    # One pass of area averaging does most of the shrinking; what is left is near 1:1.
    ratio = min(1.0, _OVERSAMPLING / abs(to_picture.a))
    width, height = (max(1, math.ceil((n) * ratio)) for n in (right - left, bottom - top))
    pixels = picture.rgb(region, width_px=width, height_px=height)
    scale_x, scale_y = width / (right - left), height / (bottom - top)
    a, b = to_picture.a, to_picture.b
    matrix = (
        scale_x * a.real, -scale_x * a.imag, scale_x * (b.real - left),
        scale_y * a.imag, scale_y * a.real, scale_y * (b.imag - top),
    )  # fmt: skip
    crop = Image.fromarray(pixels).transform(
        (template.size_px, template.size_px),
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
    )
    return np.asarray(crop, dtype=np.uint8)


def _surroundings(to_picture: Similarity, size_px: int, picture: Picture) -> Box:
    """Return the box around the crop's corners, with a margin for interpolation."""
    corners = np.array([[0, 0], [size_px, 0], [size_px, size_px], [0, size_px]], dtype=np.float64)
    mapped = to_picture(corners)
    margin = 1 + abs(to_picture.a)
    (left, top), (right, bottom) = mapped.min(axis=0) - margin, mapped.max(axis=0) + margin
    return Box.from_edges(
        left=math.floor(left) / picture.width_px,
        top=math.floor(top) / picture.height_px,
        right=math.ceil(right) / picture.width_px,
        bottom=math.ceil(bottom) / picture.height_px,
    )
