"""Regions of interest: which part of the picture is looked at, and which finds count.

A polygon may be concave and may cross itself. Its inside follows the even-odd rule, the one
drawing programs use by default: a place is inside when a ray from it crosses the outline an
odd number of times. The overlap with a box is exact, not sampled: between two neighbouring
"events" (corners, crossings of two edges, crossings of an edge with the box's sides) the
covered width is a linear function of y, so height times the width in the middle is the area.
A degenerate polygon (all points on a line) has no inside and never counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box, Polygon

__all__ = ["MAX_POLYGON_POINTS", "Regions", "polygon_overlap_area"]

MAX_POLYGON_POINTS = 100
"""More are refused: the crossings of n edges, and the work for each box, grow as n squared."""

DEFAULT_MIN_OVERLAP = 0.5
"""AWS: an object counts "if more than half of it lies in a region"."""


class Regions:
    """The regions of one stream processor; none means the whole picture.

    Args:
        shapes: Boxes and polygons as ratios of the picture.

    Raises:
        ValueError: If a polygon has more than ``MAX_POLYGON_POINTS`` points.

    """

    def __init__(self, shapes: Sequence[Box | Polygon] = ()) -> None:
        self._shapes = tuple(shapes)
        self._areas = tuple(
            shape.clipped() if isinstance(shape, Box) else _Area(shape) for shape in self._shapes
        )
        self._crop = _bounding_box(self._shapes) if self._shapes else WHOLE_PICTURE

    @property
    def shapes(self) -> tuple[Box | Polygon, ...]:
        """The regions as given."""
        return self._shapes

    @property
    def crop(self) -> Box:
        """The bounding box of all regions inside the picture: what networks need to see.

        It has no area when all regions lie outside the picture; then nothing can count.
        """
        return self._crop

    def contains(self, box: Box, *, min_overlap: float = DEFAULT_MIN_OVERLAP) -> bool:
        """Tell whether a find counts: more than ``min_overlap`` of it lies in one region.

        Two regions that each hold a part do not add up. Only the part of the box inside the
        picture is judged, so that somebody half cut off by the border is not lost; a box
        without area in the picture lies in no region.

        Args:
            box: The find, as ratios of the picture.
            min_overlap: Share of the box's area, 0 up to but not including 1.

        """
        if not self._shapes:
            return True
        visible = box.clipped()
        needed = min_overlap * visible.area
        return any(_overlap(area, visible) > needed for area in self._areas)


def polygon_overlap_area(polygon: Polygon, box: Box) -> float:
    """Return the area the inside (even-odd) of ``polygon`` and ``box`` have in common."""
    return _Area(polygon).overlap(box)


def _overlap(area: Box | _Area, box: Box) -> float:
    if isinstance(area, Box):
        return area.intersection(box).area
    return area.overlap(box)


class _Area:
    """A polygon's edges, sorted for :meth:`overlap`."""

    def __init__(self, polygon: Polygon) -> None:
        if len(polygon.points) > MAX_POLYGON_POINTS:
            raise ValueError(
                f"a region's polygon may have {MAX_POLYGON_POINTS} points, "
                f"got {len(polygon.points)}"
            )
        points = np.array([(point.x, point.y) for point in polygon.points], dtype=np.float64)
        starts, ends = points, np.roll(points, -1, axis=0)
        # Upwards or downwards makes no difference under the even-odd rule; a horizontal edge
        # bounds no width.
        flip = (starts[:, 1] > ends[:, 1])[:, None]
        upper, lower = np.where(flip, ends, starts), np.where(flip, starts, ends)
        slanted = upper[:, 1] < lower[:, 1]
        self._upper, self._lower = upper[slanted], lower[slanted]
        with np.errstate(all="ignore"):  # lying coordinates near the float range overflow
            extent = self._lower - self._upper
            self._slope = extent[:, 0] / extent[:, 1]
            crossings = self._crossings(extent)
        self._events = np.concatenate([points[:, 1], crossings])

    def _crossings(self, extent: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the y of every point two edges share (and of harmless ones beyond them)."""
        # x = slope * y + offset for each edge; equal where the lines cross.
        offset = self._upper[:, 0] - self._slope * self._upper[:, 1]
        one, other = np.triu_indices(len(extent), k=1)
        y = (offset[other] - offset[one]) / (self._slope[one] - self._slope[other])
        top = np.maximum(self._upper[one, 1], self._upper[other, 1])
        bottom = np.minimum(self._lower[one, 1], self._lower[other, 1])
        return np.asarray(y[(y > top) & (y < bottom)], dtype=np.float64)

    def overlap(self, box: Box) -> float:
        """Return the area of the inside within ``box``."""
        if not len(self._upper) or box.area <= 0:
            return 0.0
        with np.errstate(all="ignore"):  # as above; a NaN is no event and covers nothing
            heights, middles = self._slabs(box)
            left = self._upper[:, 0] + self._slope * (middles[:, None] - self._upper[:, 1])
            cuts = np.clip(left, box.left, box.right)
        active = (self._upper[:, 1] < middles[:, None]) & (middles[:, None] < self._lower[:, 1])
        # A closed outline meets a horizontal line an even number of times. The edges it does
        # not meet are moved to the right end, where they enclose no width.
        cuts = np.where(active & np.isfinite(cuts), cuts, box.right)
        if cuts.shape[1] % 2:
            cuts = np.column_stack([cuts, np.full(len(cuts), box.right)])
        cuts.sort(axis=1)
        widths = (cuts[:, 1::2] - cuts[:, ::2]).sum(axis=1)
        return float(heights @ widths)

    def _slabs(self, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return heights and middles of the strips of ``box`` in which widths are linear."""
        sides = [
            self._upper[:, 1] + (side - self._upper[:, 0]) / self._slope
            for side in (box.left, box.right)
        ]
        events = np.concatenate([self._events, *sides])
        inside = events[(events > box.top) & (events < box.bottom)]
        edges = np.concatenate([[box.top], np.unique(inside), [box.bottom]])
        return np.diff(edges), (edges[1:] + edges[:-1]) / 2


def _bounding_box(shapes: Sequence[Box | Polygon]) -> Box:
    """Return the box around all shapes, cut to the picture shape by shape."""
    inside = [_outline_box(shape).clipped() for shape in shapes]
    visible = [box for box in inside if box.area > 0] or inside[:1]
    return Box.from_edges(
        left=min(box.left for box in visible),
        top=min(box.top for box in visible),
        right=max(box.right for box in visible),
        bottom=max(box.bottom for box in visible),
    )


def _outline_box(shape: Box | Polygon) -> Box:
    if isinstance(shape, Box):
        return shape
    xs = [point.x for point in shape.points]
    ys = [point.y for point in shape.points]
    return Box.from_edges(left=min(xs), top=min(ys), right=max(xs), bottom=max(ys))
