"""From a thread to the loop: a signal that any thread may give and tasks wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading

__all__ = ["Signal"]


class Signal:
    """An :class:`asyncio.Event` that may be set from any thread.

    Many calls of :meth:`set` between two turns of the loop wake it once. The signal stays set
    until :meth:`clear`: clear it, look at what it stands for, then wait, and nothing is missed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()
        self._lock = threading.Lock()
        self._on_its_way = False  # a call of _arrive is scheduled; under the lock

    def set(self) -> None:
        """Wake whoever waits. From any thread, never blocks; without effect on a closed loop."""
        with self._lock:
            if self._on_its_way:
                return
            self._on_its_way = True
        # RuntimeError: the loop is closed, nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrive)

    def clear(self) -> None:
        """Forget the past. Only on the loop."""
        self._event.clear()

    async def wait(self) -> None:
        """Wait until the signal is set. Only on the loop."""
        await self._event.wait()

    def _arrive(self) -> None:
        with self._lock:
            self._on_its_way = False
        self._event.set()
