"""Reading a stream for ever: GetMedia called again and again, with back-off where it must wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from streamd.pipeline.source import MediaSource, Opened, ReadEnded, SourceEvent
from streamd.retry import Backoff

__all__ = ["read_on"]

CALL_AGAIN_AT_ONCE_SECONDS = 1.0
CALL_AGAIN_SECONDS = 0.1


async def read_on(source: MediaSource) -> AsyncGenerator[Sequence[SourceEvent]]:
    """Yield what the stream brings, without end; together what came together.

    Raises:
        SessionFailedError: If the stream does not exist or may not be read.

    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(base_seconds=0.2, cap_seconds=5.0)
    while True:
        called_at = loop.time()
        answered = False
        async with aclosing(source.read()) as answer:
            async for events in answer:
                # Both come alone.
                if isinstance(events[0], Opened):
                    answered = True
                elif isinstance(events[0], ReadEnded) and events[0].fragments:
                    backoff.reset()
                yield events
        # An answer that was open for a while ended because nothing came: ask again at once, or
        # the camera's first pictures wait for nothing.
        lasted = answered and loop.time() - called_at > CALL_AGAIN_AT_ONCE_SECONDS
        await asyncio.sleep(CALL_AGAIN_SECONDS if lasted else backoff.next_delay())
