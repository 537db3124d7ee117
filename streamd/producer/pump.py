"""The first half of a producer: from the source, at its pace, into the buffer."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Any

from streamd.clock import Clock
from streamd.producer.buffer import FragmentBuffer
from streamd.producer.camera_clock import ClockChoice
from streamd.producer.errors import SourceError
from streamd.producer.events import EventKind, ProducerOptions, ProducerStats
from streamd.producer.fragments import MAX_FRAGMENT_MS, Fragment, Fragmenter
from streamd.producer.media import VIDEO_TRACK, MediaSource, MediaUnit
from streamd.producer.timeline import (
    MAX_CLOCK_DRIFT_SECONDS,
    MAX_DRIFT_SECONDS,
    ProducerTimeline,
)
from streamd.retry import Backoff

__all__ = ["Pump"]

NANOSECONDS = 1_000_000_000
STEADY_SECONDS = 5.0
"""A camera that sent for this long is tried again at once when it is lost."""
LONG_GAP_NOTE = (
    f"no keyframe for {MAX_FRAGMENT_MS // 1000} s: a fragment was cut without one. "
    "Set the camera's keyframe interval to 2 s, or add --transcode"
)


class Pump:
    """Reads a source to its end, its loops or its reconnections, and fills the buffer.

    Args:
        source: The opened source; closed by :meth:`close`.
        reopen: Opens the source again.
        buffer: Takes the fragments.
        options: Pace, loops, first timestamp.
        stats: Counts what is read.
        tell: Told what the user should know.
        run_blocking: Awaits a call in a thread.
        clock: Where time comes from.

    """

    def __init__(
        self,
        *,
        source: MediaSource,
        reopen: Callable[[], MediaSource],
        buffer: FragmentBuffer,
        options: ProducerOptions,
        stats: ProducerStats,
        tell: Callable[[EventKind, str], None],
        run_blocking: Callable[[Callable[[], Any]], Awaitable[Any]],
        clock: Clock,
    ) -> None:
        self._source = source
        self._is_live = source.is_live
        self._clock_choice = ClockChoice(options.clock)
        self._reopen = reopen
        self._buffer = buffer
        self._options = options
        self._stats = stats
        self._tell = tell
        self._run_blocking = run_blocking
        self._clock = clock
        self._fragmenter = Fragmenter()
        self._fragmenter.silence = source.silence
        self._timeline = ProducerTimeline(options.start_ns or self._now_ns())
        self._stopping = asyncio.Event()
        self._told_long_gap = False
        self._max_seconds = math.inf if options.max_seconds is None else options.max_seconds
        self._backoff = Backoff(base_seconds=0.5, cap_seconds=10.0)
        self._opened_at = clock.monotonic()
        # Monotonic time and absolute decoding time of the first packet.
        self._pace: tuple[float, int] | None = None
        self.failure: SourceError | None = None
        """Set when a file broke in the middle; what came before still goes out."""

    def stop(self) -> None:
        """End after the packet at hand."""
        self._stopping.set()

    def close(self) -> None:
        """Let the source go."""
        self._source.close()

    async def run(self) -> None:
        """Read until the end; the buffer is closed afterwards."""
        try:
            while True:
                await self._read_to_end()
                self._fragmenter.finish()
                if self._stopping.is_set() or not (self._options.loop or self._is_live):
                    return
                await self._open_again()
        except SourceError as error:
            self.failure = error
        finally:
            self._fragmenter.finish()
            self._buffer.close()

    async def _read_to_end(self) -> None:
        while not self._stopping.is_set():
            try:
                units: list[MediaUnit] = await self._run_blocking(self._source.read)
            except SourceError as error:
                if not self._is_live:
                    raise
                self._tell(EventKind.SOURCE_LOST, str(error))
                return
            if not units:
                if self._is_live:
                    # libavformat calls a camera that hung up the end of the file.
                    self._tell(EventKind.SOURCE_LOST, "the camera closed the connection")
                return
            for unit in units:
                await self._send(unit)
                if self._stats.media_seconds >= self._max_seconds:
                    self._stopping.set()
                if self._stopping.is_set():
                    return

    async def _send(self, unit: MediaUnit) -> None:
        await self._buffer.room()
        self._stats.dropped = self._buffer.dropped
        if self._is_live and unit.is_keyframe and unit.track_number == VIDEO_TRACK:
            self._follow_clock(unit)
        shown_ns, decoded_ns = self._timeline.place(unit)
        await self._wait_until_due(decoded_ns)
        written = self._fragmenter.push(unit, shown_ns)
        if written is not None:
            fragment, _ = written
            self._buffer.add(fragment)
            self._count(fragment, unit)

    def _follow_clock(self, unit: MediaUnit) -> None:
        choice, stats = self._clock_choice, self._stats
        right_ns = choice.choose(unit.taken_ns, self._now_ns())
        stats.clock_offset_seconds = choice.offset_seconds
        stats.uses_camera_clock = choice.uses_camera
        complaint = choice.complaint()
        if complaint is not None:
            self._tell(EventKind.NOTE, complaint)
        if self._options.start_ns is None:
            self._timeline.begin(right_ns)
        drift = MAX_CLOCK_DRIFT_SECONDS if choice.uses_camera else MAX_DRIFT_SECONDS
        if self._timeline.follow(right_ns, unit, max_drift_seconds=drift):
            self._fragmenter.finish()

    def _count(self, fragment: Fragment, unit: MediaUnit) -> None:
        stats = self._stats
        stats.frames += unit.track_number == VIDEO_TRACK
        if stats.first_timecode_ms is None:
            stats.first_timecode_ms = fragment.timecode_ms
        seconds = (fragment.end_ms - stats.first_timecode_ms) / 1000
        stats.media_seconds = max(stats.media_seconds, seconds)
        if len(fragment.chunks) > 2:  # head and first block make a new one
            return
        stats.fragments += 1
        if not fragment.starts_with_keyframe and not self._told_long_gap:
            self._told_long_gap = True
            self._tell(EventKind.NOTE, LONG_GAP_NOTE)

    async def _wait_until_due(self, decoded_ns: int) -> None:
        if self._options.fast or self._source.is_paced:
            return
        now = self._clock.monotonic()
        if self._is_live:
            # The line follows the wall clock, and segments come long before they are due.
            await self._pause((decoded_ns - self._now_ns()) / NANOSECONDS)
            return
        if self._pace is None:
            self._pace = (now, decoded_ns)
        started, first_ns = self._pace
        await self._pause(started + (decoded_ns - first_ns) / NANOSECONDS - now)

    async def _open_again(self) -> None:
        self._source.close()
        if self._clock.monotonic() - self._opened_at >= STEADY_SECONDS:
            self._backoff.reset()
        elif self._is_live:
            # It opens and hangs up at once: do not hammer it.
            await self._pause(self._backoff.next_delay())
        while not self._stopping.is_set():
            try:
                self._source = await self._run_blocking(self._reopen)
            except SourceError as error:
                if not self._is_live:
                    raise
                delay = self._backoff.next_delay()
                self._tell(EventKind.SOURCE_LOST, f"{error}; next try in {delay:.1f} s")
                await self._pause(delay)
            else:
                self._opened_at = self._clock.monotonic()
                self._fragmenter.silence = self._source.silence
                self._timeline.restart(self._now_ns() if self._is_live else None)
                return

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()

    def _now_ns(self) -> int:
        return int(self._clock.epoch() * NANOSECONDS)
