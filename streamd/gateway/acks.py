"""Acknowledgements on their way to a producer, while its upload goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from aiohttp import web

from streamd.kvs.acks import Acknowledgement, EventType, to_line

__all__ = ["AckChannel"]

logger = logging.getLogger(__name__)

MAX_PENDING: Final = 4096
"""A producer that reads no acknowledgements until its upload is over misses the oldest."""
LAST_WORDS_SECONDS: Final = 5.0
LOOK_AGAIN_SECONDS: Final = 0.1
_PROMISES: Final = frozenset({EventType.RECEIVED, EventType.PERSISTED})
"""After these a producer may let go of a fragment."""


class AckChannel:
    """Writes acknowledgements in order; :meth:`put` never waits, so a slow reader stops no upload.

    Args:
        response: To the producer.
        may_promise: Whether fragments here are surely in reach for consumers. While they are
            not, what would let the producer forget them waits.

    """

    def __init__(self, response: web.StreamResponse, may_promise: Callable[[], bool]) -> None:
        self._response = response
        self._may_promise = may_promise
        self._is_forsaken = False
        self._pending: deque[Acknowledgement] = deque()
        self._changed = asyncio.Event()
        self._closing = False
        self._dropped = 0
        self._task = asyncio.create_task(self._run(), name="put-media-acks")

    def put(self, acknowledgement: Acknowledgement) -> None:
        """Send one when its turn comes; when too many wait, the oldest is dropped."""
        if len(self._pending) >= MAX_PENDING:
            self._pending.popleft()
            self._dropped += 1
        self._pending.append(acknowledgement)
        self._changed.set()

    def forsake(self) -> None:
        """Promise nothing any more: the stream has moved, the producer is to send again."""
        self._is_forsaken = True

    async def close(self) -> None:
        """Send what is left and end the response, unless the producer is gone or does not read."""
        self._closing = True
        self._changed.set()
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._task
        except TimeoutError:
            logger.debug("a producer did not read its last acknowledgements")
        if self._dropped:
            logger.info("acknowledgements dropped", extra={"count": self._dropped})

    async def _run(self) -> None:
        with contextlib.suppress(ConnectionError):  # the upload notices by itself
            while not self._closing or self._pending:
                await self._changed.wait()
                self._changed.clear()
                while self._pending:
                    if lines := self._ready():
                        await self._response.write(lines)
                    elif self._pending:
                        await asyncio.sleep(LOOK_AGAIN_SECONDS)
            await self._response.write_eof()

    def _ready(self) -> bytes:
        """Take out what may be sent now."""
        ready, waiting = list(self._pending), list[Acknowledgement]()
        if self._is_forsaken or not self._may_promise():
            waiting = [item for item in ready if item.event_type in _PROMISES]
            ready = [item for item in ready if item.event_type not in _PROMISES]
        self._pending = deque([] if self._is_forsaken else waiting)
        return b"".join(to_line(item) for item in ready)
