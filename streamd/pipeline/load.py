"""How many analysis threads a session keeps busy, smoothed; pure.

Others see a new figure only when it says something new: a load that is written down with every
breath would have work move for nothing.
"""

from __future__ import annotations

import math

__all__ = ["LoadMeter"]

SMOOTHING_SECONDS = 30.0
FIRST_SECONDS = 10.0
"""Before it was watched for so long, a session's load is unknown."""
TELLING_THREADS = 0.05
TELLING_SHARE = 0.25


class LoadMeter:
    """Watches one session.

    Args:
        at: The time now, in seconds of a monotonic clock.

    """

    def __init__(self, at: float) -> None:
        self._looked_at = at
        self._busy_seconds = 0.0
        self._smoothed = 0.0
        self._weight = 0.0
        self._watched_seconds = 0.0
        self._told: float | None = None

    @property
    def threads(self) -> float:
        """Threads kept busy, 0 while unknown."""
        return self._smoothed / self._weight if self._weight else 0.0

    def add(self, busy_seconds: float) -> None:
        """Count a job that an analysis thread has done."""
        self._busy_seconds += busy_seconds

    def look(self, at: float) -> float | None:
        """Take what was counted into account.

        Returns:
            The load, if it differs from the last one returned so much that others should know.

        """
        elapsed = at - self._looked_at
        if elapsed <= 0.0:
            return None
        keep = math.exp(-elapsed / SMOOTHING_SECONDS)
        self._smoothed = keep * self._smoothed + (1.0 - keep) * self._busy_seconds / elapsed
        self._weight = keep * self._weight + (1.0 - keep)
        self._watched_seconds += elapsed
        self._looked_at, self._busy_seconds = at, 0.0
        if self._watched_seconds < FIRST_SECONDS:
            return None
        load = self.threads
        if self._told is not None and abs(load - self._told) <= max(
            TELLING_THREADS, TELLING_SHARE * self._told
        ):
            return None
        self._told = load
        return load
