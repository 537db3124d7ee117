"""What is live: the fragments of every stream that are arriving or not yet archived.

A fragment is handed to consumers part by part while it arrives. Its parts stay in memory
until they are written; then only the newest few megabytes do, and a consumer that lags reads
the rest from the archive. Everything here runs on the event loop.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, Protocol

from streamd.gateway.archive import Place, StoredFragment
from streamd.gateway.fragmenter import Opened
from streamd.kvs.acks import ErrorCode
from streamd.kvs.numbers import MAX_SALT, new_number

__all__ = ["FragmentState", "LiveFragment", "LiveStream", "LiveStreams", "Upload"]

KEPT_BYTES: Final = 4 * 1024 * 1024
"""Of one fragment, in memory, once they are written."""


class FragmentState(enum.Enum):
    """Where a live fragment stands."""

    OPEN = "open"
    """Parts are still arriving."""
    COMPLETE = "complete"
    TORN = "torn"
    """Cut short inside a cluster that had said its size: right in the archive alone."""
    FAILED = "failed"
    """It broke a rule, or could not be written."""


class Upload(Protocol):
    """A producer's connection, as its stream sees it."""

    def interrupt(self, code: ErrorCode | None) -> None:
        """End soon, with this error or, if ``None``, without one."""

    async def wait_closed(self) -> None:
        """Return once all it received is archived or given up."""


class LiveFragment:
    """One fragment from its first byte until it is archived."""

    def __init__(
        self, opened: Opened, *, number: str, previous: str | None, server_ms: int
    ) -> None:
        self.number = number
        self.previous = previous
        """Number of the fragment before it; ``None`` where the stream had none."""
        self.header = opened.header
        self.timecode_ms = opened.timecode_ms
        self.producer_ms = opened.producer_ms
        self.server_ms = server_ms
        self.server_end_ms = server_ms
        self.length_ms = 0
        self.patch: tuple[int, bytes] | None = None
        self.state = FragmentState.OPEN
        self.place: Place | None = None
        """Where it lies in the archive; set by the first write."""
        self.size = 0
        self.taken = 0
        """Bytes handed to the recorder."""
        self.written = 0
        """Bytes that can be read from the archive."""
        self.kept_from = 0
        """Bytes before this offset are no longer in memory."""
        self._parts: list[bytes] = []
        self._ends: list[int] = []  # offset after each part

    def add(self, raw: bytes) -> None:
        """Append a part."""
        self.size += len(raw)
        self._parts.append(raw)
        self._ends.append(self.size)

    def read(self, offset: int, limit: int) -> bytes:
        """Return whole parts from ``offset``, about ``limit`` bytes; empty where none are yet."""
        first = bisect_right(self._ends, offset)
        last = max(first + 1, bisect_right(self._ends, offset + limit))
        return b"".join(self._parts[first:last])

    def take(self) -> list[bytes]:
        """Return the parts that were not taken yet, for writing."""
        first = bisect_right(self._ends, self.taken)
        self.taken = self.size
        return self._parts[first:]

    def note_written(self, size: int) -> None:
        """Say that the archive has the first ``size`` bytes, and let go of the oldest of them."""
        self.written = size
        self._drop(min(size, self.size - KEPT_BYTES))

    def release(self) -> None:
        """Let go of everything: it is archived, or nobody will get it."""
        self._drop(self.size)

    def _drop(self, offset: int) -> None:
        count = bisect_right(self._ends, offset)
        if count:
            self.kept_from = self._ends[count - 1]
            del self._parts[:count], self._ends[:count]


class LiveStream:
    """One stream while somebody sends to it or reads from it."""

    def __init__(
        self,
        arn: str,
        *,
        stream_id: int,
        newest: str | None,
        newest_ms: int,
        retention_hours: int,
    ) -> None:
        self.arn = arn
        self.stream_id = stream_id
        self.retention_hours = retention_hours
        """As of now; UpdateDataRetention changes it."""
        self.newest = newest
        """Greatest number of a fragment that is archived or live; ``None`` before the first."""
        self.newest_ms = newest_ms
        """Server time that fragment began at."""
        self.upload: Upload | None = None
        self.upload_ended_at = float("-inf")
        """Loop time the last producer left."""
        self.is_gone = False
        """The stream was deleted, or the daemon stops."""
        self.is_elsewhere = False
        """Another replica has become its home."""
        self.users = 0
        """Connections of producers and consumers."""
        # Of every number: another replica that takes itself for this stream's home makes others.
        self._salt = secrets.randbelow(MAX_SALT + 1)
        self._fragments: dict[str, LiveFragment] = {}
        self._waiting: set[asyncio.Event] = set()

    def begin(self, opened: Opened, *, server_ms: int) -> LiveFragment:
        """Give a new fragment its number and let consumers have it."""
        number = new_number(self.newest, server_timestamp_ms=server_ms, salt=self._salt)
        fragment = LiveFragment(opened, number=number, previous=self.newest, server_ms=server_ms)
        self._fragments[number] = fragment
        self.newest, self.newest_ms = number, server_ms
        return fragment

    def learn(self, newest: StoredFragment | None) -> None:
        """Note what the archive holds: perhaps from another replica, beyond all known here."""
        if newest is not None and (self.newest is None or newest.number > self.newest):
            self.newest, self.newest_ms = newest.number, newest.server_ms
            self.wake()

    def complete(
        self,
        fragment: LiveFragment,
        *,
        server_end_ms: int,
        length_ms: int,
        patch: tuple[int, bytes] | None,
    ) -> None:
        """Say that the fragment's last part has come."""
        fragment.server_end_ms = server_end_ms
        fragment.length_ms = length_ms
        fragment.patch = patch
        fragment.state = FragmentState.COMPLETE if patch is None else FragmentState.TORN
        self.wake()

    def archived(self, fragment: LiveFragment) -> None:
        """Say that readers of the archive find it: it is no longer live."""
        self._fragments.pop(fragment.number, None)
        fragment.release()
        self.wake()

    def fail(self, fragment: LiveFragment) -> None:
        """Give the fragment up; who was sent a part of it gets no more."""
        fragment.state = FragmentState.FAILED
        self._fragments.pop(fragment.number, None)
        fragment.release()
        self.wake()

    @property
    def open_fragment(self) -> LiveFragment | None:
        """The fragment in progress."""
        last = next(reversed(self._fragments.values()), None)
        return last if last is not None and last.state is FragmentState.OPEN else None

    def after(self, number: str) -> LiveFragment | None:
        """Return the first live fragment after a number."""
        return next((f for key, f in self._fragments.items() if key > number), None)

    def waiter(self) -> asyncio.Event:
        """Return an event that is set at every change until :meth:`forget` is called with it."""
        event = asyncio.Event()
        self._waiting.add(event)
        return event

    def forget(self, event: asyncio.Event) -> None:
        """Stop setting an event."""
        self._waiting.discard(event)

    def wake(self) -> None:
        """Tell all consumers that something has changed."""
        for event in self._waiting:
            event.set()

    def shut(self) -> None:
        """Let no consumer wait any longer."""
        self.is_gone = True
        self.wake()


class LiveStreams:
    """The streams in use, by ARN."""

    def __init__(self) -> None:
        self._streams: dict[str, LiveStream] = {}

    def get(self, arn: str) -> LiveStream | None:
        """Return the stream if it is in use."""
        return self._streams.get(arn)

    def enter(self, arn: str, make: Callable[[], LiveStream]) -> LiveStream:
        """Return the stream, made if nobody used it; every entry needs a :meth:`leave`."""
        stream = self._streams.get(arn)
        if stream is None:
            stream = self._streams[arn] = make()
        stream.users += 1
        return stream

    def leave(self, stream: LiveStream) -> None:
        """Say that a connection has ended; the last one takes the stream out."""
        stream.users -= 1
        if not stream.users and self._streams.get(stream.arn) is stream:
            del self._streams[stream.arn]

    def all(self) -> list[LiveStream]:
        """Return all streams in use."""
        return list(self._streams.values())
