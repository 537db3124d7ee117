"""How long fragments are kept, and the task that frees the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from streamd.config import KinesisVideoSettings
from streamd.gateway.archive import Retention
from streamd.gateway.door import ArchiveDoor
from streamd.metrics import Metrics
from streamd.resources import VideoStream

__all__ = ["Janitor", "retention_of"]

logger = logging.getLogger(__name__)

# "The host buffer" of a stream with a retention of 0 (developer guide, CreateStream).
BUFFER_MS: Final = 5 * 60 * 1000
BUFFER_BYTES: Final = 200 * 1000 * 1000
PERIOD_SECONDS: Final = 10.0
WRITES_PER_SWEEP: Final = 16 * 1024 * 1024
"""Bytes after which a sweep is made at once: a fast producer must not outrun the period."""
_MS_PER_HOUR: Final = 3600 * 1000


def retention_of(hours: int, settings: KinesisVideoSettings) -> Retention:
    """Return how long a stream with DataRetentionInHours keeps its fragments."""
    if hours:
        return Retention(
            max_age_ms=hours * _MS_PER_HOUR, max_bytes=settings.max_stream_bytes, durable=True
        )
    limit = min(BUFFER_BYTES, settings.max_stream_bytes or BUFFER_BYTES)
    return Retention(max_age_ms=BUFFER_MS, max_bytes=limit, durable=False)


class Janitor:
    """Frees what retention does not keep, now and then and after many bytes."""

    def __init__(
        self,
        *,
        door: ArchiveDoor,
        settings: KinesisVideoSettings,
        metrics: Metrics,
        streams: Callable[[], Awaitable[Iterable[VideoStream]]],
    ) -> None:
        self._door = door
        self._settings = settings
        self._metrics = metrics
        self._streams = streams
        self._written = 0
        self._limit = min(WRITES_PER_SWEEP, max(1, settings.max_archive_bytes // 20))
        self._due = asyncio.Event()

    def note_written(self, size: int) -> None:
        """Count bytes that went to the archive."""
        self._written += size
        if self._written >= self._limit:
            self._due.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception:
                # The wall of this task: a full or broken disk must not end it.
                logger.exception("old fragments cannot be freed, trying again")
            self._due.clear()
            try:
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                continue
            # After a sweep that failed, not in a tight loop.
            await asyncio.sleep(0.1)

    async def sweep(self) -> None:
        """Free once."""
        self._written = 0
        archive, limit = self._door.archive, self._settings.max_archive_bytes
        # In this order: a stream is in the store before the archive hears of it.
        archived = await self._door.call(archive.stream_arns)
        kept = {
            stream.arn: retention_of(stream.data_retention_hours, self._settings)
            for stream in await self._streams()
        }
        for arn in archived:
            if arn not in kept:
                await self._door.call(archive.remove_stream, arn)
        freed = await self._door.call(lambda: archive.enforce(kept, max_bytes=limit))
        if freed:
            logger.debug("segments freed", extra={"count": freed})
        self._metrics.archive_bytes.set(archive.total_bytes)
