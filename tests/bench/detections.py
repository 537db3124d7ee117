"""Whether what was found is what full decoding finds: the same object, at the same time and place.

A detection is the same if its label is, its frame lies within half an analysed period, and the
boxes overlap by half of their union. Each detection is the partner of one at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Agreement", "Detection", "compare", "repeated"]

MIN_IOU = 0.5

Edges = tuple[float, float, float, float]
"""Left, top, right, bottom, as ratios of the picture."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One object in one frame."""

    time_ms: int
    """Since the beginning of the clip's first showing."""
    label: str
    edges: Edges


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How two lists of detections compare."""

    same: int
    lost: int
    """In the reference only."""
    extra: int
    """In the other only."""

    @property
    def percent(self) -> float:
        """Of all that either has, what both have."""
        everything = self.same + self.lost + self.extra
        return 100.0 if not everything else 100 * self.same / everything


def compare(
    reference: Iterable[Detection], found: Iterable[Detection], *, tolerance_ms: float
) -> Agreement:
    """Pair detections, the best overlaps first."""
    wanted, others = list(reference), list(found)
    by_slot: dict[tuple[str, int], list[int]] = defaultdict(list)
    slot_ms = max(1.0, tolerance_ms)
    for index, each in enumerate(others):
        by_slot[each.label, int(each.time_ms // slot_ms)].append(index)
    pairs = []
    for row, want in enumerate(wanted):
        slot = int(want.time_ms // slot_ms)
        for near in (slot - 1, slot, slot + 1):
            for index in by_slot.get((want.label, near), ()):
                other = others[index]
                apart = abs(other.time_ms - want.time_ms)
                overlap = _iou(want.edges, other.edges)
                if apart <= tolerance_ms and overlap >= MIN_IOU:
                    pairs.append((-overlap, apart, row, index))
    taken_rows: set[int] = set()
    taken: set[int] = set()
    for _, _, row, index in sorted(pairs):
        if row not in taken_rows and index not in taken:
            taken_rows.add(row)
            taken.add(index)
    same = len(taken)
    return Agreement(same=same, lost=len(wanted) - same, extra=len(others) - same)


def repeated(detections: Sequence[Detection], *, clip_ms: int, until_ms: int) -> list[Detection]:
    """Return what a clip holds that is shown again and again until ``until_ms``."""
    shown = []
    for begin in range(0, until_ms, clip_ms):
        for each in detections:
            if begin + each.time_ms < until_ms:
                moved = begin + each.time_ms
                shown.append(Detection(time_ms=moved, label=each.label, edges=each.edges))
    return shown


def _iou(one: Edges, other: Edges) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / (_area(one) + _area(other) - inside)


def _area(edges: Edges) -> float:
    return (edges[2] - edges[0]) * (edges[3] - edges[1])
