"""Boxes and polygons in relative coordinates: 0 to 1, origin top left."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["WHOLE_PICTURE", "Box", "Point", "Polygon"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A point as ratios of the picture's width and height."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"a point needs finite coordinates, got x={self.x}, y={self.y}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A bounding box as ratios of the picture (may run below 0 or above 1 at its edges)."""

    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.left, self.top, self.width, self.height)):
            raise ValueError(f"a box needs finite numbers, got {self}")
        if self.width < 0 or self.height < 0:
            raise ValueError(f"a box needs a width and height of 0 or more, got {self}")

    @property
    def right(self) -> float:
        """The right edge, as a ratio of the picture's width."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The lower edge, as a ratio of the picture's height."""
        return self.top + self.height

    @property
    def area(self) -> float:
        """The area, as a ratio of the picture's."""
        return self.width * self.height

    @property
    def center(self) -> Point:
        """The middle of the box."""
        return Point(x=self.left + self.width / 2, y=self.top + self.height / 2)

    @classmethod
    def from_edges(cls, *, left: float, top: float, right: float, bottom: float) -> Box:
        """Build a box from its four edges; a negative extent becomes 0."""
        return cls(left=left, top=top, width=max(0.0, right - left), height=max(0.0, bottom - top))

    def intersection(self, other: Box) -> Box:
        """Return the common part, with an extent of 0 where there is none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        return Box.from_edges(
            left=left,
            top=top,
            right=min(self.right, other.right),
            bottom=min(self.bottom, other.bottom),
        )

    def clipped(self) -> Box:
        """Return the part of the box inside the picture."""
        return self.intersection(WHOLE_PICTURE)

    def iou(self, other: Box) -> float:
        """Return intersection over union, 0 to 1."""
        common = self.intersection(other).area
        union = self.area + other.area - common
        return common / union if union > 0 else 0.0

    def within(self, outer: Box) -> Box:
        """Map a box given as ratios of ``outer`` to ratios of the picture ``outer`` lies in."""
        return Box(
            left=outer.left + self.left * outer.width,
            top=outer.top + self.top * outer.height,
            width=self.width * outer.width,
            height=self.height * outer.height,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Polygon:
    """A closed polygon; the last point joins the first. Needs 3 points or more."""

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if len(self.points) < 3:
            raise ValueError(f"a polygon needs 3 points or more, got {len(self.points)}")


WHOLE_PICTURE = Box(left=0.0, top=0.0, width=1.0, height=1.0)
"""The whole picture as a region."""
