"""The quotas of AWS that are settings: connections, calls a second, and the pace of media.

Refused are connections and calls beyond a limit. Media is not refused but slowed down: bytes
are not read, or not written, before their time, so nothing is lost and TCP tells the peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from streamd.protocol.errors import ServiceError

__all__ = ["CallRate", "Connections", "Pace"]

MAX_WATCHED: Final = 10_000
_SECOND: Final = 1.0


class CallRate:
    """Calls a second, per operation and stream."""

    def __init__(
        self, per_second: int | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Watch calls; ``None``: any number is fine."""
        self._per_second = per_second
        self._monotonic = monotonic
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def check(self, operation: str, arn: str) -> None:
        """Count a call.

        Raises:
            ServiceError: ``ClientLimitExceededException``; such a call does not count.

        """
        if self._per_second is None:
            return
        now = self._monotonic()
        # The one that was called longest ago is the first to be forgotten.
        calls = self._calls.pop((operation, arn), None) or deque(maxlen=self._per_second)
        self._calls[operation, arn] = calls
        if len(self._calls) > MAX_WATCHED:
            del self._calls[next(iter(self._calls))]
        if len(calls) == self._per_second and now - calls[0] < _SECOND:
            raise ServiceError(
                "ClientLimitExceededException",
                f"{operation} can be called {self._per_second} times a second on a stream.",
            )
        calls.append(now)


class Connections:
    """Connections of one operation, per stream."""

    def __init__(self, operation: str, limit: int | None) -> None:
        """Watch connections; ``None``: any number is fine."""
        self._operation = operation
        self._limit = limit
        self._open: dict[str, int] = {}

    @contextlib.contextmanager
    def one(self, arn: str) -> Iterator[None]:
        """Hold a connection while the block runs.

        Raises:
            ServiceError: ``ConnectionLimitExceededException``.

        """
        count = self._open.get(arn, 0)
        if self._limit is not None and count >= self._limit:
            raise ServiceError(
                "ConnectionLimitExceededException",
                f"A stream can have {self._limit} connections of {self._operation}.",
            )
        self._open[arn] = count + 1
        try:
            yield
        finally:
            self._open[arn] -= 1
            if not self._open[arn]:
                del self._open[arn]


class Pace:
    """So many bytes, or fragments, a second of one connection, with a second's worth at once."""

    def __init__(self, per_second: float | None) -> None:
        """Set the pace; ``None``: as fast as it goes."""
        self._per_second = per_second
        self._spent = 0.0  # of the future, in seconds, when above 0
        self._at = 0.0

    async def spend(self, amount: float) -> None:
        """Return when it is time for what comes after this amount."""
        if self._per_second is None or not amount:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._spent = max(-_SECOND, self._spent - (now - self._at) if self._at else -_SECOND)
        self._at = now
        self._spent += amount / self._per_second
        if self._spent > 0:
            await asyncio.sleep(self._spent)
