"""The bounded buffer between a session's source and its analysis.

Encoded media is buffered, never pictures: seconds of video are under a megabyte. When the
buffer is full the source waits, its HTTP response is not read, and TCP slows the sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

__all__ = ["Intake"]

T = TypeVar("T")


class Intake(Generic[T]):
    """Items in order, in batches: one taker, one giver, bounded by bytes.

    A batch is handed out when something was put as ``urgent`` (a frame to analyse, the end of
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
        self._ready = asyncio.Event()  # a batch can be taken
        self._room = asyncio.Event()
        self._room.set()
        self._closed = asyncio.Event()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for analysis."""
        return self._bytes

    async def put(self, items: Iterable[tuple[T, int]], *, urgent: bool = False) -> None:
        """Add items with their sizes in bytes; waits while the buffer is full.

        What is put at once fits, however large, or it would wait for ever. Ignored once closed.
        """
        if not self._room.is_set():
            await self._room.wait()
        if self._closed.is_set():
            return
        for item, size_bytes in items:
            self._items.append((item, size_bytes))
            self._bytes += size_bytes
        self._urgent = self._urgent or urgent
        self._tell()

    async def take(self) -> list[T]:
        """Return the next batch, oldest first; empty once closed and drained."""
        await self._ready.wait()
        taken: list[T] = []
        while self._items and len(taken) < self._max_batch:
            item, size_bytes = self._items.popleft()
            taken.append(item)
            self._bytes -= size_bytes
        # What is left of a batch is as urgent as the batch was.
        self._urgent = bool(self._items)
        self._tell()
        return taken

    async def until_closed(self) -> None:
        """Wait until no more items can come."""
        await self._closed.wait()

    def close(self) -> None:
        """No more items will come; what is buffered can still be taken."""
        self._closed.set()
        self._tell()

    def discard(self) -> None:
        """Close and forget what is buffered: it will be read again after a restart."""
        self._items.clear()
        self._bytes = 0
        self.close()

    def _tell(self) -> None:
        """Wake whoever can go on."""
        if self._closed.is_set() or self._urgent or self._bytes * 2 >= self._max_bytes:
            self._ready.set()
        else:
            self._ready.clear()
        if self._closed.is_set() or self._bytes < self._max_bytes:
            self._room.set()
        else:
            self._room.clear()
