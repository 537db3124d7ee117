"""What a quiet scene of one stream is like, learnt from pixels; or that it cannot be told. Pure.

For some seconds everything is decoded. Pictures are labelled by real motion, packets by the
pictures; the costs of quiet packets give the curves, and how far they stray gives the limits.
Then the gate is tried on what was seen: every group of pictures with motion in it must have
woken it. Where one would not, or the costs stray so far that a visitor would not show, the
stream is decoded in full.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from streamd.gate.complexity import WINDOWS, Cost, Costs, Curve, Peaks, PictureClass, learn
from streamd.gate.scene import Blocks, Luma, Scene

__all__ = ["Calibration", "GateProfile", "Verdict"]

NS: Final = 1_000_000_000
SETTLING_NS: Final = 2 * NS
"""Of a stream's first pictures, in which encoders find their rate."""
LEAST_NS: Final = 12 * NS
LEAST_QUIET_NS: Final = 8 * NS
LONGEST_NS: Final = 60 * NS
LONGEST_GROUP_NS: Final = 10 * NS
BEFORE_NS: Final = 1_100_000_000
BEHIND_NS: Final = 300_000_000
"""Around a picture that moved, packets are not quiet: it was compared with a second before."""
QUANTILE: Final = 0.99
MARGIN: Final = 1.3
LEAST_LIMIT: Final = 0.15
SHORT_GROUP_NS: Final = 2_500_000_000
LIMIT_SHORT: Final = 0.5
LIMIT_LONG: Final = 0.4
"""Bits: the limit must not lie further above the usual. In short groups the next keyframe's
picture comes soon and misses only what came and went in between; in long ones more depends on
it."""
MOST_SAMPLES: Final = 6000


class Verdict(enum.Enum):
    """What a calibration came to."""

    UNDECIDED = "undecided"
    """More has to be seen."""
    SEPARABLE = "separable"
    """There is a profile."""
    NOT_SEPARABLE = "not separable"
    """Quiet and active cannot be told from packets: decode everything."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GateProfile:
    """What was learnt of one stream; a new session on it need not learn it again."""

    codec: tuple[str, bytes]
    """CodecID and CodecPrivate it holds for."""
    regions: tuple[object, ...]
    """Regions of interest it holds for."""
    curves: tuple[tuple[PictureClass, Curve], ...]
    limits: Peaks
    """Of the mean cost over each window."""
    highest: float
    """The lowest limit must not rise above this, or a visitor would not show."""
    noise: Blocks

    def is_above(self, peaks: Peaks) -> bool:
        """Whether packets say that something moves."""
        return any(peak > limit for peak, limit in zip(peaks, self.limits, strict=True))

    def raised(self, peaks: Peaks) -> GateProfile | None:
        """Return the profile after windows as dear as these turned out to be quiet.

        ``None`` where quiet and active cannot be told apart any more.
        """
        limits = tuple(
            max(limit, peak * 1.05 + 0.02) for limit, peak in zip(self.limits, peaks, strict=True)
        )
        return replace(self, limits=limits) if min(limits) <= self.highest else None

    def costs(self) -> Costs:
        """Return the costs of pictures by this profile, beginning now."""
        return Costs(dict(self.curves))


@dataclass(slots=True)
class _Sample:
    time_ns: int
    group: int
    cost: Cost | None


@dataclass(slots=True)
class Calibration:
    """One try to learn a stream."""

    scene: Scene
    _samples: list[_Sample] = field(default_factory=list)
    _moved: list[int] = field(default_factory=list)
    _entries: list[tuple[int, Luma | None]] = field(default_factory=list)
    _begun_ns: int | None = None
    _looked_until_ns: int = 0

    def add(self, time_ns: int, cost: Cost | None, *, is_entry: bool) -> None:
        """Take a packet."""
        if self._begun_ns is None:
            self._begun_ns = time_ns
        if is_entry:
            self._entries.append((time_ns, None))
        if len(self._samples) < MOST_SAMPLES:
            self._samples.append(_Sample(time_ns, len(self._entries), cost))

    def look(self, time_ns: int, luma: Luma, *, moved: bool, is_keyframe: bool) -> None:
        """Take a decoded picture."""
        self._looked_until_ns = max(self._looked_until_ns, time_ns)
        if moved:
            bisect.insort(self._moved, time_ns)
        if is_keyframe:
            self._entries = [
                (at, luma) if at == time_ns else (at, kept) for at, kept in self._entries
            ]

    def is_exhausted(self, time_ns: int) -> bool:
        """Whether there was time enough: what is not decided now will not be."""
        return self._begun_ns is not None and time_ns - self._begun_ns > LONGEST_NS

    def verdict(
        self, codec: tuple[str, bytes], regions: tuple[object, ...]
    ) -> tuple[Verdict, GateProfile | None]:
        """Judge what was seen; called where a group of pictures ends."""
        begun = self._begun_ns
        if begun is None or self._looked_until_ns - begun < LEAST_NS or len(self._entries) < 4:
            return Verdict.UNDECIDED, None
        samples = [s for s in self._samples if s.time_ns - begun >= SETTLING_NS]
        quiet = [s.cost is not None and not self._is_active(s.time_ns) for s in samples]
        step = self._step_ns(samples)
        if sum(quiet) * step < LEAST_QUIET_NS:
            return Verdict.UNDECIDED, None
        curves = learn(
            s.cost for s, is_quiet in zip(samples, quiet, strict=True) if is_quiet and s.cost
        )
        peaks = _peaks(samples, Costs(curves))
        limits = _limits(peaks, quiet)
        if limits is None:
            return Verdict.UNDECIDED, None
        group_ns = max(b[0] - a[0] for a, b in zip(self._entries, self._entries[1:], strict=False))
        most = LIMIT_SHORT if group_ns <= SHORT_GROUP_NS else LIMIT_LONG
        if group_ns > LONGEST_GROUP_NS:
            return Verdict.NOT_SEPARABLE, None
        if min(limits) > most:
            # Encoders may take long to find their rate: what came first is forgotten.
            del self._samples[: len(self._samples) // 3]
            return Verdict.UNDECIDED, None
        profile = GateProfile(
            codec=codec,
            regions=regions,
            curves=tuple(curves.items()),
            limits=limits,
            highest=most,
            noise=self.scene.noise.copy(),
        )
        if not self._would_wake(samples, peaks, profile):
            return Verdict.NOT_SEPARABLE, None
        return Verdict.SEPARABLE, profile

    def _is_active(self, time_ns: int) -> bool:
        """Whether something moved around this time."""
        at = bisect.bisect_left(self._moved, time_ns - BEHIND_NS)
        return at < len(self._moved) and self._moved[at] <= time_ns + BEFORE_NS

    def _step_ns(self, samples: Sequence[_Sample]) -> float:
        if len(samples) < 2:
            return 0.0
        return (samples[-1].time_ns - samples[0].time_ns) / (len(samples) - 1)

    def _would_wake(
        self, samples: Sequence[_Sample], peaks: Sequence[Peaks | None], profile: GateProfile
    ) -> bool:
        """Whether every group with motion in it would have been decoded."""
        fired = {
            s.group
            for s, peak in zip(samples, peaks, strict=True)
            if peak is not None and profile.is_above(peak)
        }
        changed = self._changed_groups()
        for group, (begin, _) in enumerate(self._entries[:-1], start=1):
            if begin < samples[0].time_ns:
                continue
            end = self._entries[group][0]
            first = bisect.bisect_left(self._moved, begin + BEFORE_NS)
            last = bisect.bisect_left(self._moved, end)
            # One look may be a flicker; two in a row are motion.
            if last - first >= 2 and not {group, group - 1} & fired and group not in changed:
                return False
        return True

    def _changed_groups(self) -> set[int]:
        """Groups at whose beginning or end the keyframes differ from each other."""
        changed: set[int] = set()
        for index, ((_, one), (_, other)) in enumerate(
            zip(self._entries, self._entries[1:], strict=False), start=1
        ):
            if one is None or other is None or self.scene.change(one, other) > 1:
                changed |= {index, index + 1}
        return changed


def _peaks(samples: Sequence[_Sample], costs: Costs) -> list[Peaks | None]:
    return [None if s.cost is None else costs.add(s.cost) for s in samples]


def _limits(peaks: Sequence[Peaks | None], quiet: Sequence[bool]) -> Peaks | None:
    """Return limits above nearly all windows that were quiet from end to end.

    A limit that is too low costs some decoding and is noticed; one too high costs motion.
    """
    run, inside = 0, []
    for peak, is_quiet in zip(peaks, quiet, strict=True):
        run = run + 1 if is_quiet or peak is None else 0
        if peak is not None and run >= WINDOWS[-1]:
            inside.append(peak)
    if len(inside) < 2 * WINDOWS[-1]:
        return None
    usual = np.quantile(np.array(inside), QUANTILE, axis=0)
    return tuple(max(LEAST_LIMIT, float(value) * MARGIN + 0.05) for value in usual)
