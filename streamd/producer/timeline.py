"""From a source's own time to the producer's: wall clock at the start plus media time. Pure."""

from __future__ import annotations

from streamd.producer.media import VIDEO_TRACK, MediaUnit

__all__ = ["MAX_CLOCK_DRIFT_SECONDS", "MAX_DRIFT_SECONDS", "ProducerTimeline"]

NANOSECONDS = 1_000_000_000
MAX_JUMP_SECONDS = 10
"""A larger step between packets is a fault of the source, not a pause of the video."""
MAX_DRIFT_SECONDS = 1.0
"""Arrivals may be this far off the time line before it is laid anew."""
MAX_CLOCK_DRIFT_SECONDS = 0.1
"""The same for the camera's own clock, which does not jitter as arrivals do."""
SLEW = 20
"""A line that is ahead runs slower by this part until it is right: times never go back."""


class ProducerTimeline:
    """Absolute times that never go back: across loops, reconnects and jumps of the source.

    All times are nanoseconds since 1970.
    """

    def __init__(self, start_ns: int) -> None:
        self._anchor_ns = start_ns
        """Absolute time of the source's ``_zero_ns``."""
        self._zero_ns: int | None = None
        self._last_dts_ns: dict[int, int] = {}
        self._end_ns = start_ns
        """Everything before this is taken."""
        self._has_begun = False
        self._lead_ns = 0
        """How far the line is ahead of the clock, to be given up little by little."""
        self.jumps = 0
        """Steps of the source that were not believed."""

    @property
    def end_ns(self) -> int:
        """Where the next piece of video may begin."""
        return self._end_ns

    def restart(self, now_ns: int | None = None) -> None:
        """The source begins again, as a loop does, or at ``now_ns`` after a pause."""
        self._lay(now_ns or 0)
        self._lead_ns = 0

    def begin(self, shown_ns: int) -> None:
        """Before the first frame: its time is known better now."""
        if self._zero_ns is None:
            self._anchor_ns = max(self._end_ns, shown_ns) if self._has_begun else shown_ns

    def place(self, unit: MediaUnit) -> tuple[int, int]:
        """Return when the unit is shown and when it is decoded."""
        self._check_jump(unit)
        if self._zero_ns is None:
            self._zero_ns = unit.pts_ns
        if self._lead_ns:
            self._slew(unit)
        self._last_dts_ns[unit.track_number] = unit.dts_ns
        offset = self._anchor_ns - self._zero_ns
        shown = unit.pts_ns + offset
        end_ns = shown + unit.duration_ns
        self._end_ns = max(self._end_ns, end_ns) if self._has_begun else end_ns
        self._has_begun = True
        return shown, unit.dts_ns + offset

    def follow(
        self, right_ns: int, unit: MediaUnit, *, max_drift_seconds: float = MAX_DRIFT_SECONDS
    ) -> bool:
        """Bring the line back to the clock at a live keyframe that drifted away from it.

        Without it the times of a camera that runs for weeks would wander off by minutes.

        Args:
            right_ns: When the clock says the keyframe is shown.
            unit: The keyframe.
            max_drift_seconds: What is left as it is.

        Returns:
            Whether the line was laid anew, behind a gap. A line that is ahead is not: it
            runs slower for a while.

        """
        if self._zero_ns is None:
            return False
        lead = unit.pts_ns + self._anchor_ns - self._zero_ns - right_ns
        self._lead_ns = 0
        if abs(lead) <= max_drift_seconds * NANOSECONDS:
            return False
        if lead > 0:
            self._lead_ns = lead
            return False
        self._lay(right_ns)
        return True

    def _lay(self, now_ns: int) -> None:
        self._anchor_ns = max(self._end_ns, now_ns)
        self._zero_ns = None
        self._last_dts_ns.clear()

    def _slew(self, unit: MediaUnit) -> None:
        last = self._last_dts_ns.get(unit.track_number)
        if last is None or unit.track_number != VIDEO_TRACK:
            return  # one track sets the pace, and all follow
        less = min(self._lead_ns, (unit.dts_ns - last) // SLEW)
        self._lead_ns -= less
        self._anchor_ns -= less

    def _check_jump(self, unit: MediaUnit) -> None:
        last = self._last_dts_ns.get(unit.track_number)
        if last is not None and not 0 <= unit.dts_ns - last <= MAX_JUMP_SECONDS * NANOSECONDS:
            self.jumps += 1
            self.restart()
