"""The body of one PutMedia request: read as it comes, until one of the reasons to stop."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streamd.gateway.moments import Place
from streamd.patience import Patience

__all__ = ["Ending", "StoppedError", "UploadBody"]

_LOST: Final = (OSError, aiohttp.ClientError, web.RequestPayloadError, HttpProcessingError)
"""What reading raises when the producer has gone away or its chunks make no sense."""


class Ending(enum.Enum):
    """Why reading stopped; the value labels a metric."""

    FINISHED = "finished"
    """The producer ended its request."""
    DISCONNECTED = "disconnected"
    UNREADABLE = "unreadable"
    """Its chunks make no sense; it is still there."""
    IDLE = "idle"
    INTERRUPTED = "interrupted"
    """By us: the stream is deleted, its archive broke, or the daemon stops."""
    OUT_OF_TIME = "out of time"
    REFUSED = "refused"
    """The media broke a rule."""
    BROKEN = "broken"
    """By a mistake of ours."""


class StoppedError(Exception):
    """Reading stopped otherwise than by the request's end."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class UploadBody:
    """Reads with three kinds of patience: for the next IDLE, for the next byte, for the end.

    Args:
        request: Whose body it is.
        on_idle: Called each time nothing has arrived for ``idle_ack_seconds``.
        idle_ack_seconds: See there.
        idle_close_seconds: Longest time without a byte.
        ends_at: Loop time by which the last byte must have come.

    """

    def __init__(
        self,
        request: web.Request,
        *,
        on_idle: Callable[[], None],
        idle_ack_seconds: float,
        idle_close_seconds: float,
        ends_at: float,
    ) -> None:
        self._request = request
        self._on_idle = on_idle
        self._idle_ack_seconds = idle_ack_seconds
        self._idle_close_seconds = idle_close_seconds
        self._ends_at = ends_at
        self._patience = Patience()
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Stop reading, at once if a read waits."""
        self._is_interrupted = True
        self._patience.end()

    async def read(self) -> bytes:
        """Return what came next; nothing at the end of the request.

        Raises:
            StoppedError: If there is another reason to stop.

        """
        loop = asyncio.get_running_loop()
        idle_until = loop.time() + self._idle_close_seconds
        while True:
            if self._is_interrupted:
                raise StoppedError(Ending.INTERRUPTED)
            now = loop.time()
            wait = min(self._idle_ack_seconds, idle_until - now, self._ends_at - now)
            try:
                return await self._patience.wait(self._request.content.readany(), seconds=wait)
            except TimeoutError:
                if not self._is_interrupted:
                    self._idle(loop.time(), idle_until)
            except _LOST:
                return self._rescued()

    def close(self) -> None:
        """Read no more; may be called twice."""
        self._patience.close()

    def gather(self, place: Place) -> None:
        """Let what a live producer sends frame by frame come together, to its next moment.

        It waits in the kernel, so that nobody is woken: neither this process for every frame,
        nor those who read the stream.
        """
        transport = self._request.transport
        if transport is None or self._request.content.is_eof():
            return
        # Not by way of aiohttp, whose parser cannot pause at the end of a body. It reads on by
        # itself only where it has stopped for too much data, which there is not.
        transport.pause_reading()
        place.at_next(transport.resume_reading)

    def _idle(self, now: float, idle_until: float) -> None:
        if now >= self._ends_at:
            raise StoppedError(Ending.OUT_OF_TIME)
        if self._request.protocol._messages:  # noqa: SLF001  # there is no public way
            # While a body is not over nothing else can be parsed, but what stopped the parser:
            # aiohttp keeps the error for its own answer and does not tell who reads the body.
            raise StoppedError(Ending.UNREADABLE)
        if now >= idle_until:
            raise StoppedError(Ending.IDLE)
        self._on_idle()

    def _rescued(self) -> bytes:
        # aiohttp has no public way to what arrived before the connection broke.
        data = self._request.content._read_nowait(-1)  # noqa: SLF001
        if data:
            return data
        transport = self._request.transport
        is_there = transport is not None and not transport.is_closing()
        raise StoppedError(Ending.UNREADABLE if is_there else Ending.DISCONNECTED)
