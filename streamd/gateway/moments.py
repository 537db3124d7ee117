"""Moments that all live producers are read on at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Moments"]


class Moments:
    """Calls at the next of the moments that are so many seconds apart.

    One turn of the loop, and of the loops of those who read, then serves all producers, however
    many there are.
    """

    def __init__(self, seconds: float) -> None:
        """Set how far apart they are, in seconds above 0."""
        self._seconds = seconds
        self._calls: list[Callable[[], object]] = []

    def at_next(self, call: Callable[[], object]) -> None:
        """Call this at the next one."""
        loop = asyncio.get_running_loop()
        if not self._calls:
            loop.call_at((loop.time() // self._seconds + 1) * self._seconds, self._come)
        self._calls.append(call)

    def _come(self) -> None:
        calls, self._calls = self._calls, []
        loop = asyncio.get_running_loop()
        for call in calls:
            loop.call_soon(call)  # the error of one is no other's
