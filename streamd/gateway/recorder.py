"""From live to archived: writes the fragments of one upload in their order, as they arrive."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from streamd.gateway.archive import FragmentWriter, Retention, StoredFragment
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError
from streamd.gateway.live import FragmentState, LiveFragment, LiveStream

__all__ = ["Recorder"]

logger = logging.getLogger(__name__)

RIPE_BYTES: Final = 1024 * 1024
"""Written at once while a fragment is still arriving."""
MAX_UNWRITTEN_BYTES: Final = 8 * 1024 * 1024
"""The upload waits while more than this has not reached the archive."""
MAX_UNWRITTEN_FRAGMENTS: Final = 32
PERSIST_SECONDS: Final = 10.0
"""Longest time the end of an upload waits for an archive that is slow to keep its fragments."""


class Recorder:
    """The writing side of one upload; ends with :meth:`finish`."""

    def __init__(
        self,
        *,
        door: ArchiveDoor,
        stream: LiveStream,
        retention: Callable[[], Retention],
        on_persisted: Callable[[LiveFragment], None],
        on_failed: Callable[[LiveFragment, ArchiveError], None],
        on_written: Callable[[int], None],
    ) -> None:
        """Start recording.

        Args:
            door: To the archive.
            stream: That the fragments belong to.
            retention: Asked at every fragment: it may change meanwhile.
            on_persisted: Told of every fragment, in their order, that the archive keeps.
            on_failed: Told once, of the fragment that could not be written; all after it fail.
            on_written: Told how many bytes went to the disk.

        """
        self._door = door
        self._stream = stream
        self._retention = retention
        self._on_persisted = on_persisted
        self._on_failed = on_failed
        self._on_written = on_written
        self._fragments: deque[LiveFragment] = deque()
        # In the archive, but not yet where it keeps them for good; no more than it has room for.
        self._persisting: deque[tuple[LiveFragment, asyncio.Future[None]]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._finishing = False
        self._failed = False
        self._task = asyncio.create_task(self._run(), name=f"recorder-{stream.stream_id}")
        # Whatever ends it, nobody waits for room that will not come.
        self._task.add_done_callback(lambda _: self._room.set())

    def add(self, fragment: LiveFragment) -> None:
        """Take a fragment that begins."""
        if self._failed:
            self._stream.fail(fragment)
            return
        self._fragments.append(fragment)

    def poke(self) -> None:
        """Say that parts were added or a fragment's state has changed."""
        head = self._fragments[0] if self._fragments else None
        if head is not None and self._is_ripe(head):
            self._changed.set()

    async def room(self) -> None:
        """Return when the upload may go on: back-pressure of a slow disk."""
        while self._is_crowded() and not self._failed and not self._task.done():
            self._room.clear()
            await self._room.wait()

    async def finish(self) -> None:
        """Return when every fragment is archived or failed; none may be open any more.

        An archive that cannot keep them for good soon does so later, and nobody is told.
        """
        self._finishing = True
        self._changed.set()
        await asyncio.shield(self._task)
        if left := [future for _, future in self._persisting]:
            await asyncio.wait(left, timeout=PERSIST_SECONDS)
            self._note_persisted()
        if self._persisting:
            logger.warning(
                "fragments will be persisted later",
                extra={"stream": self._stream.arn, "count": len(self._persisting)},
            )
            self._persisting.clear()

    def _is_crowded(self) -> bool:
        if len(self._fragments) > MAX_UNWRITTEN_FRAGMENTS:
            return True
        return sum(f.size - f.written for f in self._fragments) > MAX_UNWRITTEN_BYTES

    @staticmethod
    def _is_ripe(fragment: LiveFragment) -> bool:
        return (
            fragment.state is not FragmentState.OPEN or fragment.size - fragment.taken >= RIPE_BYTES
        )

    async def _run(self) -> None:
        while True:
            if self._fragments:
                await self._record(self._fragments[0])
                self._fragments.popleft()
                self._room.set()
            elif self._finishing:
                return
            else:
                await self._next_change()

    async def _next_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _record(self, fragment: LiveFragment) -> None:
        """Write one fragment to its end."""
        retention = self._retention()
        writer = self._door.archive.begin(self._stream.stream_id, retention)
        try:
            while not self._failed:
                while not self._is_ripe(fragment):
                    await self._next_change()
                if fragment.state is FragmentState.FAILED:
                    break
                stored = await self._write(writer, fragment)
                if stored is not None:
                    await self._commit(fragment, stored, durable=retention.durable)
                    return
        except ArchiveError as error:
            self._give_up(fragment, error)
        await self._door.call(writer.abandon)
        if fragment.state is not FragmentState.FAILED:
            self._stream.fail(fragment)

    async def _write(self, writer: FragmentWriter, fragment: LiveFragment) -> StoredFragment | None:
        """Write what has come; returns what is to be committed if that was the last of it."""
        is_last = fragment.state is not FragmentState.OPEN
        parts = fragment.take()
        size = fragment.taken

        def write() -> StoredFragment | None:
            # In one call: most fragments are written when they are complete.
            if parts:
                writer.write(fragment.header, parts)
            if not is_last:
                return None
            return writer.finish(
                number=fragment.number,
                server_ms=fragment.server_ms,
                server_end_ms=fragment.server_end_ms,
                producer_ms=fragment.producer_ms,
                length_ms=fragment.length_ms,
                patch=fragment.patch,
            )

        stored = await self._door.call(write)
        self._on_written(size - fragment.written)
        fragment.place = writer.place
        fragment.note_written(size)
        self._room.set()
        return stored

    async def _commit(
        self, fragment: LiveFragment, stored: StoredFragment, *, durable: bool
    ) -> None:
        persisted = await self._door.commit(stored, durable=durable)
        self._stream.archived(fragment)
        self._persisting.append((fragment, persisted))
        if persisted.done():
            self._note_persisted()
        else:
            persisted.add_done_callback(lambda _: self._note_persisted())

    def _note_persisted(self) -> None:
        while self._persisting and self._persisting[0][1].done():
            fragment, _ = self._persisting.popleft()
            self._on_persisted(fragment)

    def _give_up(self, fragment: LiveFragment, error: ArchiveError) -> None:
        self._failed = True
        logger.error(
            "fragment not archived",
            extra={"stream": self._stream.arn, "fragment": fragment.number, "error": str(error)},
        )
        self._stream.fail(fragment)
        self._on_failed(fragment, error)
        self._room.set()
