"""Acknowledgements on their way to a producer, while its upload goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Final

from aiohttp import web

from streamd.kvs.acks import Acknowledgement, to_line

__all__ = ["AckChannel"]

logger = logging.getLogger(__name__)

MAX_PENDING: Final = 4096
"""A producer that reads no acknowledgements until its upload is over misses the oldest."""
LAST_WORDS_SECONDS: Final = 5.0


class AckChannel:
    """Writes acknowledgements in order; :meth:`put` never waits, so a slow reader stops no upload."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
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
                    lines = b"".join(to_line(item) for item in self._pending)
                    self._pending.clear()
                    await self._response.write(lines)
            await self._response.write_eof()
