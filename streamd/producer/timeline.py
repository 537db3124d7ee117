"""From a source's own time to the producer's: wall clock at the start plus media time. Pure."""

from __future__ import annotations

from streamd.producer.media import MediaUnit

__all__ = ["ProducerTimeline"]

NANOSECONDS = 1_000_000_000
MAX_JUMP_SECONDS = 10
"""A larger step between packets is a fault of the source, not a pause of the video."""
MAX_DRIFT_SECONDS = 1.0
"""A camera's clock may be this far off before its time line is laid anew."""


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
        self.jumps = 0
        """Steps of the source that were not believed."""

    @property
    def end_ns(self) -> int:
        """Where the next piece of video may begin."""
        return self._end_ns

    def restart(self, now_ns: int | None = None) -> None:
        """The source begins again, as a loop does, or at ``now_ns`` after a pause."""
        self._anchor_ns = max(self._end_ns, now_ns or 0)
        self._zero_ns = None
        self._last_dts_ns.clear()

    def place(self, unit: MediaUnit) -> tuple[int, int]:
        """Return when the unit is shown and when it is decoded."""
        self._check_jump(unit)
        if self._zero_ns is None:
            self._zero_ns = unit.pts_ns
        self._last_dts_ns[unit.track_number] = unit.dts_ns
        offset = self._anchor_ns - self._zero_ns
        shown = unit.pts_ns + offset
        self._end_ns = max(self._end_ns, shown + unit.duration_ns)
        return shown, unit.dts_ns + offset

    def follow(self, now_ns: int, unit: MediaUnit) -> bool:
        """Lay the line anew at a live keyframe that drifted away from the wall clock.

        Without it the times of a camera that runs for weeks would wander off by minutes.
        """
        if self._zero_ns is None:
            return False
        drift = unit.pts_ns + self._anchor_ns - self._zero_ns - now_ns
        if abs(drift) <= MAX_DRIFT_SECONDS * NANOSECONDS:
            return False
        self.restart(now_ns)
        return True

    def _check_jump(self, unit: MediaUnit) -> None:
        last = self._last_dts_ns.get(unit.track_number)
        if last is not None and not 0 <= unit.dts_ns - last <= MAX_JUMP_SECONDS * NANOSECONDS:
            self.jumps += 1
            self.restart()
