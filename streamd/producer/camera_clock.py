"""A camera's own clock: read from its RTCP sender reports, believed within bounds. Pure.

libavformat (7.1 and later) puts what a sender report says beside each packet as a "producer
reference time"; see ``rtp_set_prft`` in ``libavformat/rtpdec.c``. Cameras without a sender
report, and other protocols, have none: the server's clock counts for them.
"""

from __future__ import annotations

import enum
import statistics
import struct
from collections import deque

__all__ = ["CameraClock", "ClockChoice", "ClockSource", "reference_time_ns"]

NANOSECONDS = 1_000_000_000
WINDOW = 9
"""Packets the median is taken of: libavformat's parser hands the first report's time to the
packet before it."""
NEWEST_AHEAD_SECONDS = 1.0
OLDEST_BEHIND_SECONDS = 10.0
"""In ``auto`` a camera's frame may be this much younger or older than its arrival: more is a
wrong clock, not a slow network."""
WIDE_SECONDS = 24 * 3600.0
"""In ``camera``: a camera that counts local time as UTC is at most 14 hours off."""
HYSTERESIS = 0.5
"""A clock that was not believed has to come back this far into the bounds."""


class ClockSource(enum.Enum):
    """Whose clock gives producer timestamps; the values are those of the setting."""

    AUTO = "auto"
    CAMERA = "camera"
    SERVER = "server"


def reference_time_ns(side_data: bytes) -> int:
    """Return the wall time of ``AVProducerReferenceTime``, nanoseconds since 1970.

    Its first field is ``int64_t wallclock`` in microseconds (``libavcodec/defs.h``).
    """
    (wallclock_us,) = struct.unpack_from("=q", side_data)
    return int(wallclock_us) * 1000


class CameraClock:
    """How far the camera's wall clock is from the time line of its packets."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=WINDOW)

    def learn(self, pts_ns: int, wall_ns: int) -> None:
        """Take note that the frame shown at ``pts_ns`` was taken at ``wall_ns``."""
        self._offsets.append(wall_ns - pts_ns)

    def taken_ns(self, pts_ns: int) -> int | None:
        """Return when a frame was taken by the camera's clock; ``None``: it has not said."""
        if not self._offsets:
            return None
        return pts_ns + statistics.median_low(self._offsets)


class ClockChoice:
    """Decides at each keyframe whose clock gives its time.

    Args:
        source: As set.

    """

    def __init__(self, source: ClockSource) -> None:
        self._source = source
        self.uses_camera = False
        self.offset_seconds: float | None = None
        """How far the camera's clock is ahead, seen at arrival; the network's delay is in it."""
        self._complained = False

    def choose(self, taken_ns: int | None, now_ns: int) -> int:
        """Return the time of a keyframe, nanoseconds since 1970.

        Args:
            taken_ns: What the camera's clock says, if anything.
            now_ns: What the server's clock says, at arrival.

        """
        if taken_ns is None:
            self.uses_camera, self.offset_seconds = False, None
            return now_ns
        self.offset_seconds = (taken_ns - now_ns) / NANOSECONDS
        self.uses_camera = self._is_believed(self.offset_seconds)
        return taken_ns if self.uses_camera else now_ns

    def complaint(self) -> str | None:
        """Return what the user should know about a clock that is not believed, once each time."""
        wrong = (
            self.offset_seconds is not None
            and not self.uses_camera
            and self._source is not ClockSource.SERVER
        )
        if self.uses_camera:
            self._complained = False
        if not wrong or self._complained:
            return None
        self._complained = True
        assert self.offset_seconds is not None
        return (
            f"the camera's clock is {self.offset_seconds:+.1f} s off; the server's is used. "
            "Set the camera's clock (NTP)"
        )

    def _is_believed(self, offset: float) -> bool:
        if self._source is ClockSource.SERVER:
            return False
        ahead, behind = NEWEST_AHEAD_SECONDS, OLDEST_BEHIND_SECONDS
        if self._source is ClockSource.CAMERA:
            ahead = behind = WIDE_SECONDS
        if self._complained:
            ahead, behind = HYSTERESIS * ahead, HYSTERESIS * behind
        return -behind <= offset <= ahead
