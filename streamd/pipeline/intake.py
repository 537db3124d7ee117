"""The bounded buffer between a session's source and its analysis.

Encoded media is buffered, never pictures: seconds of video are under a megabyte. When the
buffer is full the source waits, its HTTP response is not read, and TCP slows the sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Intake"]

T = TypeVar("T")


class Intake(Generic[T]):
    """Items in order, in batches: one taker, one giver, bounded by bytes.

    A batch is handed out when an item was put as ``urgent`` (a frame to analyse, the end of
    a fragment), when the buffer is half full, or when the giver has closed it. So decoding
    runs in a few jobs a second instead of one for every frame.
    """

    def __init__(self, *, max_bytes: int, max_batch: int = 32) -> None:
        """Create an empty buffer.

        Args:
            max_bytes: What may wait.
            max_batch: Items of one batch; a backlog must not keep a thread from other streams.

        """
        self._max_bytes = max_bytes
        self._max_batch = max_batch
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._urgent = False
        self._closed = False
        self._changed = asyncio.Condition()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for analysis."""
        return self._bytes

    async def put(self, item: T, *, size_bytes: int, urgent: bool = False) -> None:
        """Add an item; waits while the buffer is full. Ignored once discarded."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_room or self._closed)
            if self._closed:
                return
            self._items.append((item, size_bytes))
            self._bytes += size_bytes
            self._urgent = self._urgent or urgent
            if self._is_ready:
                self._changed.notify_all()

    async def take(self) -> list[T]:
        """Return the next batch, oldest first; empty once closed and drained."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_ready)
            count = min(len(self._items), self._max_batch)
            taken = [self._items.popleft() for _ in range(count)]
            self._bytes -= sum(size for _, size in taken)
            # What is left of a batch is as urgent as the batch was.
            self._urgent = bool(self._items)
            self._changed.notify_all()
            return [item for item, _ in taken]

    async def until_closed(self) -> None:
        """Wait until no more items can come."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed)

    async def close(self) -> None:
        """No more items will come; what is buffered can still be taken."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def discard(self) -> None:
        """Close and forget what is buffered: it will be read again after a restart."""
        async with self._changed:
            self._closed = True
            self._clear()

    @property
    def _has_room(self) -> bool:
        # One item always fits, however large, or a block above the bound would wait for ever.
        return self._bytes < self._max_bytes

    @property
    def _is_ready(self) -> bool:
        return self._closed or self._urgent or self._bytes * 2 >= self._max_bytes

    def _clear(self) -> None:
        self._items.clear()
        self._bytes = 0
        self._urgent = False
        self._changed.notify_all()
