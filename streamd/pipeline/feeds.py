"""The feeds of one process: sessions begin with one of their own and meet at the live edge.

A session reads from wherever it has to begin: the present, a point in the past, the place where
another process ended. Once it has caught up with what is being produced it moves to the feed
that already shows this stream to others, and its own one ends. The shared feed stands still for
that moment, so that the newcomer is at least as far: it then misses nothing, and what it is
shown a second time its progress passes over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable

from streamd.pipeline.feed import FeedParts, StreamFeed
from streamd.pipeline.seat import Seat
from streamd.pipeline.source import MediaSource

__all__ = ["Feeds"]

logger = logging.getLogger(__name__)

MEET_SECONDS = 1.0
"""The longest a shared feed stands still for a newcomer."""
TRY_AGAIN_SECONDS = 5.0


class Feeds:
    """Opens feeds, lets them meet, ends them."""

    def __init__(self, parts: FeedParts) -> None:
        self._parts = parts
        self._shared: dict[Hashable, StreamFeed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._not_before: dict[StreamFeed, float] = {}

    def open(self, key: Hashable, source: MediaSource, seat: Seat) -> None:
        """Show a seat a stream from where the source begins.

        Args:
            key: What feeds must have in common to be shared: the stream, and the right to read it.
            source: Where to begin.
            seat: Its ``feed`` is set at once, and may change.

        """
        feed = StreamFeed(source, seat, self._parts, key=key)
        task = asyncio.create_task(self._run(key, feed), name=f"feed-{seat.processor_name}")
        self._tasks.add(task)
        self._parts.metrics.feeds.inc()
        task.add_done_callback(self._ended)

    async def aclose(self) -> None:
        """End all feeds; may be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._parts.metrics.feeds.dec()

    async def _run(self, key: Hashable, feed: StreamFeed) -> None:
        async def meet(feed: StreamFeed) -> None:
            await self._meet(key, feed)

        try:
            await feed.run(meet)
        finally:
            self._not_before.pop(feed, None)
            if self._shared.get(key) is feed:
                del self._shared[key]

    async def _meet(self, key: Hashable, feed: StreamFeed) -> None:
        """Move to the stream's shared feed, or become it."""
        if not feed.seats or not feed.is_live:
            return
        now = asyncio.get_running_loop().time()
        shared = self._shared.get(key)
        if shared is None or not shared.is_live:
            self._shared[key] = feed
            return
        if shared is feed or now < self._not_before.get(feed, 0.0):
            return
        if not await self._join(feed, shared):
            self._not_before[feed] = now + TRY_AGAIN_SECONDS

    async def _join(self, feed: StreamFeed, shared: StreamFeed) -> bool:
        # Only ever a newcomer's turn within a shared feed's: two cannot wait for each other.
        async with shared.turn:
            started = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(MEET_SECONDS) as deadline:
                    while feed.place < shared.place and feed.is_joinable:
                        batch = await feed.next_batch()
                        deadline.reschedule(None)
                        if not batch:
                            return False
                        await feed.work(batch)
                        deadline.reschedule(started + MEET_SECONDS)
            except TimeoutError:
                return False
            async with feed.turn:
                if feed.place < shared.place or not feed.is_joinable or not shared.is_joinable:
                    return False
                names = [seat.processor_name for seat in feed.seats]
                feed.move_seats(shared)
        logger.debug("reads on with the others of its stream", extra={"stream_processor": names})
        return True
