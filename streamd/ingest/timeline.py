"""Media time: the producer's clock judged, and turned into seconds of the session. Pure.

A producer's timestamps can be zero, jump when its clock is set, or start again. Media time
begins at 0 with the first frame, runs as the video does, and passes over such jumps; it goes
back only where a fragment that was cut off is read again from its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from streamd.kvs.fragments import NS_PER_MS, FragmentInfo

__all__ = ["Judgement", "Moment", "Timeline", "start_ns"]

SMOOTH_NS: Final = 2_000_000_000
"""Frames this close follow each other whatever the server's clock says."""
CLOCK_TOLERANCE_NS: Final = 5_000_000_000
"""How far producer and server may disagree about the length of a gap (uploads come in bursts)."""
DEFAULT_STEP_NS: Final = 33_333_333
"""Assumed from one frame to the next across a jump, while no better is known."""


class Judgement(Enum):
    """How a frame's time relates to the one before it."""

    CONTINUES = "continues"
    """It follows, or it is in a fragment read again."""
    GAP = "gap"
    """Time passed without video: the server's clock agrees."""
    JUMPED_FORWARD = "jumped_forward"
    """The producer's clock was set forward; the server's did not move as much."""
    JUMPED_BACK = "jumped_back"
    """The producer's clock was set back, or its timestamps began again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A frame's place in the session."""

    media_time_ns: int
    """Since the first frame of the session."""
    judgement: Judgement

    @property
    def media_time_seconds(self) -> float:
        """Media time in seconds."""
        return self.media_time_ns / 1e9


class Timeline:
    """Places the frames of one session, given in the order they are shown."""

    def __init__(self) -> None:
        self._fragment: FragmentInfo | None = None
        self._shift_ns = 0  # media time minus source time
        self._last_ns = 0  # source time of the newest frame
        self._step_ns = DEFAULT_STEP_NS

    def place(self, fragment: FragmentInfo, offset_ns: int) -> Moment:
        """Return the media time of a frame and how its timestamp was judged."""
        source_ns = start_ns(fragment) + offset_ns
        judgement = Judgement.CONTINUES
        previous = self._fragment
        if previous is None:
            self._shift_ns = -source_ns
            self._last_ns = source_ns
        elif fragment.number != previous.number or start_ns(fragment) != start_ns(previous):
            judgement = self._judge(previous, fragment, source_ns)
            if judgement in (Judgement.JUMPED_FORWARD, Judgement.JUMPED_BACK):
                self._shift_ns += self._last_ns + self._step_ns - source_ns
            self._last_ns = source_ns
        elif source_ns > self._last_ns:
            self._step_ns = min(source_ns - self._last_ns, SMOOTH_NS)
            self._last_ns = source_ns
        self._fragment = fragment
        return Moment(media_time_ns=source_ns + self._shift_ns, judgement=judgement)

    def _judge(self, previous: FragmentInfo, fragment: FragmentInfo, source_ns: int) -> Judgement:
        delta = source_ns - self._last_ns
        if (previous.producer_timestamp_ms == 0) != (fragment.producer_timestamp_ms == 0):
            # Another clock altogether: the producer began, or ceased, to give its time.
            return Judgement.JUMPED_FORWARD if delta > 0 else Judgement.JUMPED_BACK
        if delta <= 0:
            return Judgement.JUMPED_BACK
        if delta <= SMOOTH_NS:
            return Judgement.CONTINUES
        by_server = (fragment.server_timestamp_ms - previous.server_timestamp_ms) * NS_PER_MS
        by_producer = start_ns(fragment) - start_ns(previous)
        agree = abs(by_producer - by_server) <= CLOCK_TOLERANCE_NS
        return Judgement.GAP if agree else Judgement.JUMPED_FORWARD


def start_ns(fragment: FragmentInfo) -> int:
    """Return a fragment's start: by the producer, or by the server where the producer gave none."""
    return (fragment.producer_timestamp_ms or fragment.server_timestamp_ms) * NS_PER_MS
