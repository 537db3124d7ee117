"""How much more a picture cost than pictures of its kind cost in a quiet scene. Pure.

Size alone says nothing where a rate is held: the encoder spends the same on noise as on a
visitor, and turns the quantiser. So a picture is compared with what quiet ones took at the same
quantiser. The theory says 1 bit less for 6 steps of it; sensor noise, which falls away all at
once, makes it up to 1 bit a step. The curve is therefore learnt, and the theory is used beyond
what was seen.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streamd.gate.heads import PictureHead

__all__ = ["WINDOWS", "Cost", "Costs", "Curve", "Peaks", "PictureClass", "cost_of", "learn"]

WINDOWS: Final = (8, 15, 30)
"""Pictures over which costs are averaged: a moment, and long enough for noise to cancel out."""
CLIP: Final = 2.0
"""One picture counts no more than four times its usual size: encoders have hiccups."""
BITS_PER_STEP: Final = 1 / 6
LEAST_SAMPLES: Final = 20

PictureClass = tuple[str, bool]
"""Kind, and whether others refer to it: cameras give each its own share of the bits."""
Peaks = tuple[float, ...]
"""Mean cost above the usual, in bits, for each of the windows."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one picture cost."""

    group: PictureClass
    qp: float
    log_bytes: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Usual log2 of the bytes by quantiser, as points in ascending order."""

    points: tuple[tuple[float, float], ...]

    def usual(self, qp: float) -> float:
        """Return what is usual at a quantiser."""
        first, last = self.points[0], self.points[-1]
        if qp <= first[0]:
            return first[1] + (first[0] - qp) * BITS_PER_STEP
        if qp >= last[0]:
            return last[1] - (qp - last[0]) * BITS_PER_STEP
        for (low, at_low), (high, at_high) in zip(self.points, self.points[1:], strict=False):
            if qp <= high:
                return at_low + (at_high - at_low) * (qp - low) / (high - low)
        raise AssertionError("a quantiser between the points lies between two of them")


def cost_of(head: PictureHead, size_bytes: int) -> Cost | None:
    """Return what a picture cost; ``None`` for one that needs no other, as keyframes do."""
    if head.kind.value == "I":
        return None
    group = (head.kind.value, head.is_disposable)
    return Cost(group, head.qp, math.log2(max(1, size_bytes)))


def learn(costs: Iterable[Cost]) -> dict[PictureClass, Curve]:
    """Return the curves of quiet pictures; no curve of a class with too few of them."""
    found: dict[PictureClass, list[Cost]] = {}
    for cost in costs:
        found.setdefault(cost.group, []).append(cost)
    return {
        group: Curve(tuple(_points(members)))
        for group, members in found.items()
        if len(members) >= LEAST_SAMPLES
    }


def _points(costs: list[Cost]) -> Iterable[tuple[float, float]]:
    steps: dict[int, list[float]] = {}
    for cost in costs:
        steps.setdefault(round(cost.qp), []).append(cost.log_bytes)
    for step in sorted(steps):
        # Neighbours steady a step that few pictures had.
        near = [value for other in (step - 1, step, step + 1) for value in steps.get(other, ())]
        yield float(step), statistics.median(near)


class Costs:
    """The costs of the last pictures above the usual, over each window."""

    def __init__(self, curves: Mapping[PictureClass, Curve]) -> None:
        self._curves = dict(curves)
        self._usual: dict[tuple[PictureClass, float], float] = {}
        self._last: deque[float] = deque(maxlen=WINDOWS[-1])

    def add(self, cost: Cost) -> Peaks | None:
        """Take the next picture; return the windows' means, ``None`` while they fill.

        A class of pictures that was never seen in the quiet is dear by definition.
        """
        key = (cost.group, cost.qp)
        usual = self._usual.get(key)
        if usual is None and cost.group in self._curves:
            usual = self._usual[key] = self._curves[cost.group].usual(cost.qp)
        above = CLIP if usual is None else cost.log_bytes - usual
        last = self._last
        last.append(min(CLIP, max(-CLIP, above)))
        if len(last) < WINDOWS[-1]:
            return None
        values = list(last)
        return tuple(sum(values[-window:]) / window for window in WINDOWS)

    def clear(self) -> None:
        """Forget the last pictures: the next ones do not follow on."""
        self._last.clear()
