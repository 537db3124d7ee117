"""Fragments on their way: kept until acknowledged, so that a broken connection loses none."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from streamd.kvs import mkv_write
from streamd.producer.fragments import Fragment

__all__ = ["FragmentBuffer"]

DEFAULT_MAX_BYTES = 64 * 1024 * 1024


class FragmentBuffer:
    """Between one writer (the source) and one connection at a time; for one event loop.

    Args:
        max_bytes: Size at which :meth:`room` waits, or the oldest fragments are dropped.
        drop_oldest: A camera cannot wait: make room by dropping, and count it.

    """

    def __init__(self, *, max_bytes: int = DEFAULT_MAX_BYTES, drop_oldest: bool = False) -> None:
        self._max_bytes = max_bytes
        self._drop_oldest = drop_oldest
        self._fragments: deque[Fragment] = deque()
        self._acknowledged: set[int] = set()
        self._first = 0
        """Sequence number of the oldest fragment here."""
        self._older_bytes = 0
        """Size of all but the newest fragment, which grows."""
        self._changed = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self.is_closed = False
        self.dropped = 0
        """Fragments given up while nobody took them."""

    @property
    def pending(self) -> int:
        """Fragments not acknowledged."""
        return len(self._fragments)

    @property
    def is_drained(self) -> bool:
        """Whether the source has ended and every fragment is acknowledged."""
        return self.is_closed and not self._fragments

    @property
    def _size_bytes(self) -> int:
        return self._older_bytes + (self._fragments[-1].size_bytes if self._fragments else 0)

    async def room(self) -> None:
        """Wait until there is room for more, or make it."""
        while self._size_bytes > self._max_bytes and len(self._fragments) > 1:
            if self._drop_oldest:
                self._pop()
                self.dropped += 1
                continue
            self._roomy.clear()
            await self._roomy.wait()

    def add(self, fragment: Fragment) -> None:
        """Take note that the newest fragment has new bytes; it may be a new one."""
        if not self._fragments or self._fragments[-1] is not fragment:
            if self._fragments:
                self._older_bytes += self._fragments[-1].size_bytes
            self._fragments.append(fragment)
        self._changed.set()

    def close(self) -> None:
        """Nothing more will come and the last fragment is complete; all here still go out."""
        self.is_closed = True
        self._changed.set()

    def acknowledge(self, timecode_ms: int) -> bool:
        """Let go of a fragment that is safe; says whether it was one of ours."""
        if not any(f.timecode_ms == timecode_ms and f.complete for f in self._fragments):
            return False  # also a fragment that a broken connection cut short: it goes out again
        self._acknowledged.add(timecode_ms)
        while self._fragments and self._fragments[0].timecode_ms in self._acknowledged:
            self._acknowledged.discard(self._pop().timecode_ms)
        self._roomy.set()
        return True

    async def document(self) -> AsyncIterator[bytes]:
        """Yield one MKV document: from the oldest fragment on, as bytes come.

        It ends when the source has, or before a fragment with other tracks.
        """
        sequence = self._first
        tracks = None
        while (fragment := await self._wait_for(sequence)) is not None:
            if tracks is None:
                tracks = fragment.tracks
                yield mkv_write.stream_header(tracks)
            elif fragment.tracks != tracks:
                return
            sequence = self._next_sequence(fragment)
            sent = 0
            while True:
                if sent < len(fragment.chunks):
                    chunks = fragment.chunks[sent:]
                    sent += len(chunks)
                    yield b"".join(chunks)
                elif fragment.complete:
                    break
                else:
                    await self._change()

    async def wait(self) -> None:
        """Return when there is a fragment to send, or the source has ended."""
        await self._wait_for(self._first)

    async def _wait_for(self, sequence: int) -> Fragment | None:
        while True:
            # What was dropped or acknowledged meanwhile is skipped.
            position = max(sequence - self._first, 0)
            if position < len(self._fragments):
                return self._fragments[position]
            if self.is_closed:
                return None
            await self._change()

    def _next_sequence(self, fragment: Fragment) -> int:
        return self._first + self._fragments.index(fragment) + 1

    async def _change(self) -> None:
        # One consumer: nothing can be set between the check before and this clear.
        self._changed.clear()
        await self._changed.wait()

    def _pop(self) -> Fragment:
        fragment = self._fragments.popleft()
        self._first += 1
        self._older_bytes -= fragment.size_bytes if self._fragments else 0
        return fragment
