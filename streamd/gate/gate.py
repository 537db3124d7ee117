"""The gate of one stream: what the packets and the pictures seen so far make of it. Pure.

It is told of every packet and shown some of the decoded pictures, all with their time in the
stream, and says whether a keyframe may be the beginning of a quiet group, whether a packet
wakes it, and whether a group is to be audited. What is decoded then is the business of
:mod:`streamd.gate.decoder`.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from processors.roi import Regions
from streamd.gate.calibration import Calibration, GateProfile, Verdict
from streamd.gate.complexity import Costs, Peaks, cost_of
from streamd.gate.heads import PictureHead
from streamd.gate.scene import Background, Luma, Motion, Scene, block_mask
from streamd.gate.states import Event, State, Wake, next_state

__all__ = ["Gate", "GateStats"]

logger = logging.getLogger(__name__)

NS: Final = 1_000_000_000
LOOK_NS: Final = 190_000_000
"""From one look at a decoded picture to the next."""
HANGOVER_NS: Final = 3 * NS
"""Without motion and without a find, before it may be quiet."""
RETRY_NS: Final = 300 * NS
"""In OPEN, before it is tried again."""
SURELY_AWAKE_NS: Final = 1_500_000_000
"""After motion or a find: half of the hangover is left to look whether it is over."""
FIRST_AUDIT, AUDIT_FACTOR, RAREST_AUDIT = 4, 4, 128
"""Of quiet groups: the first soon, then ever rarer while audits find nothing."""
FALSE_ALARM_NS: Final = 1 * NS
"""After packets that were dear for nothing: less than the hangover, the pictures were seen."""
MOST_MISSES: Final = 3
"""Groups that were slept through, of a stream; then it stays open until it is tried again."""


@dataclass(slots=True)
class GateStats:
    """What a gate has counted since it was made."""

    state: State = State.CALIBRATING
    skipped: int = 0
    """Packets that were not decoded."""
    wakes: Counter[Wake] = field(default_factory=Counter)
    audits: int = 0
    missed_motion: int = 0
    """Audited groups that showed motion: their frames were given out all the same."""


class Gate:
    """The state of one stream; time is the stream's own, in nanoseconds."""

    def __init__(self, regions: Regions) -> None:
        self.stats = GateStats()
        self.profile: GateProfile | None = None
        self._look_at(regions)
        self._background: Background | None = None
        self._costs: Costs | None = None
        self._codec: tuple[str, bytes] = ("", b"")
        self._now_ns = 0
        self._active_ns = 0  # the last motion, find or wake
        self._moved_ns: int | None = None
        self._looked_ns: int | None = None
        self._opened_ns = 0
        self._dear_ns = 0  # the last packet that spoke for motion
        self._dearest: Peaks | None = None  # since packets woke it
        self._unaudited_groups = 0
        self._audit_after = FIRST_AUDIT

    @property
    def state(self) -> State:
        """What is decoded now."""
        return self.stats.state

    @property
    def wants_heads(self) -> bool:
        """Whether the packets' heads are looked at."""
        return self.state is not State.OPEN

    def watch(self, regions: Regions, profile: GateProfile | None) -> None:
        """Look at other regions; what was learnt does not hold for them, but a profile may."""
        self._look_at(regions)
        if self.state is not State.OPEN:
            self.change()
            self.begin(self._codec, profile)

    def begin(self, codec: tuple[str, bytes], profile: GateProfile | None) -> None:
        """Begin anew with a codec's settings, and what was learnt of the stream if it fits."""
        self._codec = codec
        self._forget()
        if profile is not None and (profile.codec, profile.regions) == (codec, self.regions.shapes):
            self._scene = Scene(self._mask, noise=profile.noise)
            self._motion = Motion(self._scene)
            self._take(profile)

    def advance(self, time_ns: int) -> None:
        """Take note of the time, which only goes on."""
        self._now_ns = time_ns
        if self.state is State.OPEN and time_ns - self._opened_ns > RETRY_NS:
            self._apply(Event.RETRY)
            self._forget()

    def jump(self, time_ns: int) -> None:
        """Take note that time does not go on where it was."""
        self._now_ns = self._active_ns = time_ns
        self._moved_ns = self._looked_ns = self._dearest = None
        self._opened_ns = min(self._opened_ns, time_ns)
        self._motion.clear()
        if self._costs is not None:
            self._costs.clear()
        if self.state is State.CALIBRATING:
            self._calibration = Calibration(self._scene)

    def packet(self, head: PictureHead, size_bytes: int) -> bool:
        """Take a packet; return whether it says that something moves."""
        cost = cost_of(head, size_bytes)
        if self.state is State.CALIBRATING:
            self._calibration.add(self._now_ns, cost, is_entry=head.is_entry)
            if self._calibration.is_exhausted(self._now_ns):
                self.open(Event.NOT_SEPARABLE)
            return False
        if self._costs is None or cost is None or self.profile is None:
            return False
        peaks = self._costs.add(cost)
        if peaks is None or not self.profile.is_above(peaks):
            return False
        self._dear_ns = self._now_ns
        if self._dearest is None:
            self._dearest = peaks
            # Windows lag behind: what moved a moment ago still speaks.
            if self._moved_ns is not None and self._now_ns - self._moved_ns > HANGOVER_NS:
                self._moved_ns = None
        self._dearest = tuple(map(max, self._dearest, peaks))
        return True

    def is_due(self, time_ns: int) -> bool:
        """Whether the picture of this time is wanted by :meth:`look`."""
        if self.state is State.OPEN:
            return False
        if self.state is State.LIVE and 0 <= time_ns - self._active_ns < SURELY_AWAKE_NS:
            self._motion.clear()  # the next picture that is looked at does not follow on
            return False
        looked = self._looked_ns
        return looked is None or not 0 <= time_ns - looked < LOOK_NS

    def look(self, time_ns: int, luma: Luma, *, is_keyframe: bool) -> bool:
        """Take a decoded picture; return whether something moved."""
        self._looked_ns = time_ns
        moved = self._motion.look(time_ns, luma) > 1
        if moved:
            self._active_ns, self._moved_ns = max(self._active_ns, time_ns), time_ns
        if self.state is State.CALIBRATING:
            self._calibration.look(time_ns, luma, moved=moved, is_keyframe=is_keyframe)
        return moved

    def found(self, time_ns: int) -> None:
        """Take note that the analysis found something in a picture."""
        self._active_ns = max(self._active_ns, time_ns)
        self._moved_ns = time_ns  # no false alarm, whatever the pictures show

    def may_be_quiet(self) -> bool:
        """At a keyframe, everything before it decoded: whether it may be the last for now."""
        if self.state is State.CALIBRATING:
            verdict, profile = self._calibration.verdict(self._codec, self.regions.shapes)
            if verdict is Verdict.NOT_SEPARABLE:
                self.open(Event.NOT_SEPARABLE)
            elif profile is not None:
                self._take(profile)
        if (
            self.state is not State.LIVE
            or self._now_ns - self._active_ns < HANGOVER_NS
            or self._now_ns - self._dear_ns < FALSE_ALARM_NS
        ):
            return False
        return self._learns_from_alarm()

    def fall_quiet(self, luma: Luma) -> None:
        """Begin to decode keyframes only; this one is what the next are compared with."""
        self._apply(Event.CALM)
        self._background = Background(self._scene, luma)
        self._motion.clear()

    def differs(self, luma: Luma) -> bool:
        """In QUIET, whether a keyframe shows that something came or went."""
        assert self._background is not None, "QUIET begins with a background"
        return self._background.judge(luma) > 1

    def is_audit_due(self) -> bool:
        """At the end of a quiet group, whether it is to be decoded all the same."""
        self._unaudited_groups += 1
        return self._unaudited_groups >= self._audit_after

    def audited(self, *, moved: bool) -> None:
        """Take note of what an audit showed."""
        self.stats.audits += 1
        self.stats.missed_motion += moved
        self._unaudited_groups = 0
        longer = min(self._audit_after * AUDIT_FACTOR, RAREST_AUDIT)
        self._audit_after = FIRST_AUDIT if moved else longer

    def watch_group(self) -> Motion:
        """Return a watch over the pictures of a group that is audited."""
        return Motion(self._scene)

    def wake(self, cause: Wake) -> None:
        """Decode everything from now on."""
        self.stats.wakes[cause] += 1
        self._background = None
        if cause is not Wake.PACKETS:
            self._active_ns = self._now_ns
        self._apply(Event.WOKEN)
        if cause is Wake.AUDIT:
            # What was learnt let motion through: learn it again, and in the end give up.
            self._apply(Event.WRONG)
            self._forget()
            if self.stats.missed_motion >= MOST_MISSES:
                self.open(Event.NOT_SEPARABLE)

    def open(self, event: Event) -> None:
        """Decode everything and look no more, for a long time."""
        self._apply(event)
        self._opened_ns = self._now_ns
        self._background = self._costs = None

    def change(self) -> None:
        """Take note that nothing learnt so far holds."""
        self._apply(Event.CHANGED)
        self._forget()

    def _look_at(self, regions: Regions) -> None:
        self.regions = regions
        self.crop, self._mask = block_mask(regions)
        self._scene = Scene(self._mask)
        self._motion = Motion(self._scene)
        self._calibration = Calibration(self._scene)

    def _learns_from_alarm(self) -> bool:
        """Raise the limits after packets were dear and nothing moved; ``False``: no more can be."""
        dearest, self._dearest = self._dearest, None
        if dearest is None or self._moved_ns is not None or self.profile is None:
            return True
        raised = self.profile.raised(dearest)
        if raised is None:
            self._apply(Event.WRONG)
            self._forget()
            return False
        self.profile = raised
        return True

    def _take(self, profile: GateProfile) -> None:
        if self.state is State.CALIBRATING:
            self._apply(Event.LEARNT)
        self.profile = profile
        self._costs = profile.costs()

    def _forget(self) -> None:
        self.profile = self._costs = self._background = None
        self._calibration = Calibration(self._scene)
        self._motion.clear()
        self._active_ns, self._dearest = self._now_ns, None

    def _apply(self, event: Event) -> None:
        before = self.stats.state
        self.stats.state = next_state(before, event)
        if self.stats.state is not before:
            logger.debug("gate: %s -> %s: %s", before.value, self.stats.state.value, event.value)
