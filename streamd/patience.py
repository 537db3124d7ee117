"""Waiting again and again, each time for so long at most, with one timer for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["Patience"]

T = TypeVar("T")


class Patience:
    """Bounds the waits of one task.

    :func:`asyncio.timeout` makes a timer for each wait and cancels it; whoever waits for every
    packet of hundreds of streams pays more for that than for the packets. Here a timer that
    rings too early, because a later wait has more time, is only set again.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._task: asyncio.Task[object] | None = None  # while it waits
        self._has_ended = False

    async def wait(self, awaited: Awaitable[T], *, seconds: float) -> T:
        """Wait for something, for so long at most.

        Raises:
            TimeoutError: If that was too short, or :meth:`end` was called. What was awaited
                was cancelled.

        """
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        cancelling = task.cancelling()
        self._until = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            self._set(self._until)
        self._task, self._has_ended = task, False
        try:
            return await awaited
        except asyncio.CancelledError:
            # As asyncio.timeout does: somebody else's cancellation goes on.
            if self._has_ended and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def end(self) -> None:
        """Let the wait that goes on end now."""
        if self._task is not None and not self._has_ended:
            self._has_ended = True
            self._task.cancel()

    def close(self) -> None:
        """Let go of the timer; may be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        self.close()
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the next wait sets it
        if self._loop.time() < self._until:
            self._set(self._until)
        else:
            self.end()
