"""How long fragments are kept, and the task that frees the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from streamd.clock import Clock
from streamd.config import KinesisVideoSettings
from streamd.gateway.archive import Freed, Retention
from streamd.gateway.door import ArchiveDoor
from streamd.metrics import Metrics
from streamd.resources import VideoStream

__all__ = ["ClockWatch", "Janitor", "retention_of"]

logger = logging.getLogger(__name__)

# "The host buffer" of a stream with a retention of 0 (developer guide, CreateStream).
BUFFER_MS: Final = 5 * 60 * 1000
BUFFER_BYTES: Final = 200 * 1000 * 1000
PERIOD_SECONDS: Final = 10.0
WRITES_PER_SWEEP: Final = 16 * 1024 * 1024
"""Bytes after which a sweep is made at once: a fast producer must not outrun the period."""
_MS_PER_HOUR: Final = 3600 * 1000
JUMP_SECONDS: Final = 60.0
"""A clock that is set forward by more is not believed at once."""
DISBELIEF_SECONDS: Final = 3600.0
"""Time to notice and to set it right, before it makes fragments old."""


def retention_of(hours: int, settings: KinesisVideoSettings) -> Retention:
    """Return how long a stream with DataRetentionInHours keeps its fragments."""
    if hours:
        return Retention(
            max_age_ms=hours * _MS_PER_HOUR, max_bytes=settings.max_stream_bytes, durable=True
        )
    limit = min(BUFFER_BYTES, settings.max_stream_bytes or BUFFER_BYTES)
    return Retention(max_age_ms=BUFFER_MS, max_bytes=limit, durable=False)


class ClockWatch:
    """Tells how far the wall clock has jumped ahead of the monotonic one.

    A clock that is set forward by days makes everything older than any retention. Nothing is freed
    for that during an hour; if the clock is still there then, it is right, and was wrong before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.epoch() - clock.monotonic()
        self._doubted_at: float | None = None

    def doubtful_ms(self) -> int:
        """Return how much of every fragment's age is in doubt now."""
        now = self._clock.monotonic()
        began = self._clock.epoch() - now
        ahead = began - self._began
        if ahead <= JUMP_SECONDS:
            # Slewed, set back, or set right again; behind, nothing is freed too early.
            self._began, self._doubted_at = min(began, self._began), None
            return 0
        if self._doubted_at is None:
            self._doubted_at = now
            logger.error(
                "the clock has jumped ahead by %d s: for %d minutes no fragment is freed for "
                "the age that gives it",
                ahead,
                DISBELIEF_SECONDS // 60,
            )
        if now - self._doubted_at < DISBELIEF_SECONDS:
            return int(ahead * 1000)
        logger.warning("the clock is taken to be right, %d s ahead of what it was", ahead)
        self._began, self._doubted_at = began, None
        return 0


class Janitor:
    """Frees what retention does not keep, now and then and after many bytes."""

    def __init__(
        self,
        *,
        door: ArchiveDoor,
        settings: KinesisVideoSettings,
        metrics: Metrics,
        streams: Callable[[], Awaitable[Iterable[VideoStream]]],
        clock: Clock,
        unread: Callable[[], Awaitable[Mapping[str, str]]],
    ) -> None:
        """Prepare.

        Args:
            door: To the archive.
            settings: Limits.
            metrics: To count in.
            streams: Returns all video streams.
            unread: Returns the number, by ARN, after which a started stream processor has
                still to read.
            clock: Tells what is old, as far as it is believed.

        """
        self._door = door
        self._settings = settings
        self._metrics = metrics
        self._streams = streams
        self._clock_watch = ClockWatch(clock)
        self._unread = unread
        self._written = 0
        self._limit = min(WRITES_PER_SWEEP, max(1, settings.max_archive_bytes // 20))
        self._due = asyncio.Event()
        self._is_short = False  # said already

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
        doubtful_ms = self._clock_watch.doubtful_ms()
        kept: dict[str, Retention] = {}
        for stream in await self._streams():
            retention = retention_of(stream.data_retention_hours, self._settings)
            kept[stream.arn] = replace(retention, max_age_ms=retention.max_age_ms + doubtful_ms)
        for arn in archived:
            if arn not in kept:
                await self._door.call(archive.remove_stream, arn)
        needed = await self._unread()
        freed = await self._door.call(lambda: archive.enforce(kept, max_bytes=limit, needed=needed))
        if freed.segments:
            logger.debug("segments freed", extra={"count": freed.segments})
        self._metrics.archive_bytes.set(archive.total_bytes)
        self._metrics.archive_waiting_bytes.set(archive.waiting_bytes)
        self._note_early(freed)

    def _note_early(self, freed: Freed) -> None:
        self._metrics.archive_freed_early.inc(freed.early)
        if freed.early and not self._is_short:
            logger.warning(
                "the disk is short of room: video is freed before its time",
                extra={"segments": freed.early},
            )
        if freed.unread:
            logger.error(
                "the disk is short of room: video is freed that a stream processor had still "
                "to read",
                extra={"segments": freed.unread},
            )
        self._is_short = freed.early > 0
