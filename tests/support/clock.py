"""A clock that tests advance."""

from __future__ import annotations

from datetime import datetime

from streamd.clock import utc_from_epoch

__all__ = ["ManualClock"]


class ManualClock:
    """Stands still until told otherwise."""

    def __init__(self, epoch: float = 1_700_000_000.0) -> None:
        self._epoch = epoch

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._epoch += seconds

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return utc_from_epoch(self._epoch)

    def epoch(self) -> float:
        """Wall time as seconds since 1970."""
        return self._epoch

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._epoch
