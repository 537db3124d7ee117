"""Time: wall time for what AWS users read, monotonic time for every duration."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "SystemClock", "epoch_ms", "utc_from_epoch"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where the time comes from; tests pass one they advance."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""

    def epoch(self) -> float:
        """Wall time as seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """See :meth:`Clock.now`."""
        return datetime.now(UTC)

    def epoch(self) -> float:
        """See :meth:`Clock.epoch`."""
        return time.time()

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`."""
        return time.monotonic()


def utc_from_epoch(seconds: float) -> datetime:
    """Return an aware UTC datetime for seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def epoch_ms(moment: datetime) -> int:
    """Return milliseconds since 1970, rounded down, of an aware datetime.

    Not by way of ``timestamp()``: as a float, times a thousand, one in four loses a millisecond.
    """
    return (moment - _EPOCH) // timedelta(milliseconds=1)
