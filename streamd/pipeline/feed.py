"""One stream, read and decoded once for all the sessions that sit at it.

A feed reads into a bounded buffer and works it off on the analysis pool, one job at a time:
decode, then show every frame to every seat. Whoever cannot keep up because its outbox is full
is left behind, so that nobody waits for somebody else's sink; it goes on with a feed of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field

from streamd.clock import Clock
from streamd.config import AnalysisSettings
from streamd.gate.profiles import GateProfiles
from streamd.ingest.errors import DecodeError
from streamd.kvs.fragments import FragmentEnded, FragmentEvent, Packet
from streamd.metrics import Metrics
from streamd.pipeline.engine import AnalysisEngine
from streamd.pipeline.frames import WAKE, Arrival, FrameReader, Place
from streamd.pipeline.intake import Intake
from streamd.pipeline.pace import FULL_PACE, Pace, PaceKeeper, RealTime
from streamd.pipeline.reading import read_on
from streamd.pipeline.regions import regions_together
from streamd.pipeline.sampling import Due
from streamd.pipeline.seat import Seat, SeatEnd
from streamd.pipeline.source import MediaSource, Opened, ReadEnded, SourceEvent

__all__ = ["FeedParts", "StreamFeed"]

logger = logging.getLogger(__name__)

INTAKE_BYTES = 16 * 1024 * 1024
"""Encoded video waiting for analysis: half a minute of a 4 Mbit/s camera."""
LIVE_MS = 5_000
"""A feed that is no further behind the newest fragment is at the live edge."""
BACKLOG_MS = 3_000


@dataclass(frozen=True, kw_only=True)
class FeedParts:
    """What all feeds of a process share."""

    settings: AnalysisSettings
    engine: AnalysisEngine
    metrics: Metrics
    clock: Clock
    pace: PaceKeeper
    profiles: GateProfiles = field(default_factory=GateProfiles)
    """What gates have learnt of streams."""


class StreamFeed:
    """Reads, decodes and shows one stream to its seats."""

    def __init__(
        self, source: MediaSource, seat: Seat, parts: FeedParts, *, key: Hashable = None
    ) -> None:
        """Make a feed for one seat.

        Args:
            source: Where to begin.
            seat: Its ``feed`` is set at once.
            parts: What all feeds share.
            key: Names the stream, for what is learnt of it.

        """
        self.seats: list[Seat] = [seat]
        seat.feed = self
        self.turn = asyncio.Lock()
        """Held while frames are made and shown, and while seats change."""
        self.opened = asyncio.Event()
        """GetMedia has answered."""
        self._source = source
        self._parts = parts
        self._key = key
        self._profile = parts.profiles.get(key, now=parts.clock.monotonic())
        self._reader = FrameReader(
            settings=parts.settings, on_damage=self._note_damage, profile=self._profile
        )
        self._intake: Intake[Arrival] = Intake(max_bytes=INTAKE_BYTES)
        self._loop = asyncio.get_running_loop()
        self._media_at = self._loop.time()
        self._uncounted_bytes = 0
        self._told_quiet: dict[str, bool] = {}
        self._error: Exception | None = None
        self._behind_ms: int | None = None
        self._worked_to_ms = 0
        self._real_time = RealTime()
        self._is_real_time = False
        self.pace = FULL_PACE
        """How much of the stream is analysed at present."""
        self._is_closing = False
        self._reading: asyncio.Task[None] | None = None
        self.has_brought_media = False
        self.trouble: str | None = None
        """What ended the last answer of GetMedia, unless it ended in order."""

    @property
    def place(self) -> Place:
        """How far frames were shown."""
        return self._reader.place

    @property
    def silent_seconds(self) -> float:
        """For how long nothing has come that is not analysed yet."""
        return 0.0 if self._intake.buffered_bytes else self._loop.time() - self._media_at

    @property
    def is_live(self) -> bool:
        """Whether it reads what is being produced now, and keeps up."""
        backlog_ms = self._parts.clock.epoch() * 1000 - self._worked_to_ms
        return (
            self._behind_ms is not None
            and self._behind_ms <= LIVE_MS
            and (backlog_ms <= BACKLOG_MS or not self._intake.buffered_bytes)
        )

    @property
    def is_joinable(self) -> bool:
        """Whether more seats may come: it goes on, keeps up, and waits for nobody's sink."""
        return (
            bool(self.seats)
            and not self._is_closing
            and self.is_live
            and all(seat.delivery.has_room for seat in self.seats)
        )

    async def run(self, after_batch: Callable[[StreamFeed], Awaitable[None]]) -> None:
        """Work until nobody sits here any more, or nothing more can come.

        Args:
            after_batch: Awaited between two batches, outside of the turn.

        """
        self._reading = asyncio.create_task(self._read(), name="reader")
        try:
            while self.seats and (batch := await self.next_batch()):
                await self._until_room()
                await self.work(batch)
                await after_batch(self)
            if self._error is None and self.seats:
                async with self.turn:
                    await self._show(self._drain)
        except Exception as error:  # noqa: BLE001  # raised again in every session's own task
            self._error = error
        finally:
            self._is_closing = True
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._end_seats()
            await self._parts.engine.run(self._reader.close)

    async def next_batch(self) -> list[Arrival]:
        """Wait for what is to be worked off next; empty when nothing more will come."""
        return await self._intake.take()

    async def work(self, batch: Sequence[Arrival]) -> None:
        """Decode a batch and show what it brings. Not to be cancelled: threads cannot be."""
        async with self.turn:
            left = self._reader.pass_over(batch) if self.pace == FULL_PACE else batch
            if left or self._reader.is_woken:
                await self._show(self._read_batch, left, batch[-1].epoch_ms)
            self._worked_to_ms = batch[-1].epoch_ms
            if self.seats and all(seat.chain.awaits_end for seat in self.seats):
                await self._show(self._drain)

    async def finish(self, seat: Seat) -> None:
        """Read no more for this seat; it ends as over when all that has come was shown."""
        if self.seats != [seat]:
            await self.leave(seat)
            seat.give_up(SeatEnd.OVER)
            return
        self._is_closing = True
        if self._reading is not None:
            self._reading.cancel()
        self._intake.close()
        await seat.ended.wait()

    async def leave(self, seat: Seat, *, drain: bool = False) -> None:
        """Show this seat no more; nothing is shown to it when this returns.

        Args:
            seat: One of :attr:`seats`, or one that was.
            drain: Show it what the decoder still holds, if it is the only one here.

        """
        if self.seats == [seat]:
            self._is_closing = True
            # Not analysed: after a stop nobody asks for it, after a drain it is read again.
            self._intake.discard()
        async with self.turn:
            if drain and self.seats == [seat]:
                await self._show(self._drain)
            if seat in self.seats:
                self.seats.remove(seat)
                seat.feed = None
                self._parts.metrics.gate_quiet.labels(seat.processor_name).set(0)

    def move_seats(self, other: StreamFeed) -> None:
        """Give all seats to another feed of the same stream; both turns must be held."""
        for seat in self.seats:
            seat.feed = other
        other.seats += self.seats
        self.seats = []

    async def _read(self) -> None:
        due = Due(self._parts.settings.fps)
        try:
            async with contextlib.aclosing(read_on(self._source)) as answers:
                async for events in answers:
                    await self._note(events, due)
        except Exception as error:  # noqa: BLE001  # raised again in every session's own task
            self._error = error
        finally:
            self._intake.close()

    async def _note(self, events: Sequence[SourceEvent], due: Due) -> None:
        """Take what came together."""
        epoch_ms = int(self._parts.clock.epoch() * 1000)
        arrivals: list[tuple[Arrival, int]] = []
        is_urgent = False
        for event in events:
            if isinstance(event, Opened):
                self.opened.set()
                continue
            size_bytes = 256
            if isinstance(event, ReadEnded):
                self._note_end(event)
                is_urgent = True
            else:
                size_bytes += self._note_media(event, epoch_ms)
                is_urgent = due(event) or is_urgent
            arrivals.append((Arrival(event=event, epoch_ms=epoch_ms), size_bytes))
        if arrivals:
            await self._intake.put(arrivals, urgent=is_urgent)

    def _note_media(self, event: FragmentEvent, epoch_ms: int) -> int:
        """Take note of what came; returns its bytes of video."""
        self._media_at = self._loop.time()
        self.has_brought_media = True
        if isinstance(event, FragmentEnded):
            self._behind_ms = event.millis_behind_now
        if not isinstance(event, Packet):
            return 0
        self._is_real_time = self._real_time.note(
            event.fragment.producer_timestamp_ms + event.offset_ms, epoch_ms=epoch_ms
        )
        self._uncounted_bytes += len(event.data)
        return len(event.data)

    def _note_end(self, ended: ReadEnded) -> None:
        self.trouble = ended.error
        for seat in self.seats:
            if ended.damaged:
                self._parts.metrics.fragments_damaged.labels(seat.processor_name, "media").inc()
            if ended.error is not None:
                logger.warning("media was cut off", extra={**seat.log, "reason": ended.error})
            self._parts.metrics.source_reconnects.labels(seat.processor_name).inc()

    async def _until_room(self) -> None:
        """Results already made come first: nobody makes new ones while its outbox is full."""
        for seat in [seat for seat in self.seats if not seat.delivery.has_room]:
            if len(self.seats) == 1:
                await self._until_room_alone(seat)
                return
            async with self.turn:
                if seat in self.seats:
                    self.seats.remove(seat)
                    seat.give_up(SeatEnd.LEFT_BEHIND)

    async def _until_room_alone(self, seat: Seat) -> None:
        room = asyncio.create_task(seat.delivery.wait_for_room(), name="room")
        # A stop does not wait for a dead sink.
        closed = asyncio.create_task(self._intake.until_closed(), name="ending")
        try:
            await asyncio.wait({room, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
            closed.cancel()
            await asyncio.gather(room, closed, return_exceptions=True)

    async def _show(self, work: Callable[..., None], *args: object) -> None:
        """Run a job that shows outputs to the seats, and look what it made of them."""
        seats = tuple(self.seats)
        busy_seconds = await self._parts.engine.run(_timed, work, seats, *args)
        for seat in seats:
            if seat.on_busy is not None:
                seat.on_busy(busy_seconds / len(seats))
        self._keep_profile()
        counts = self._reader.take_counts()
        counts["bytes"], self._uncounted_bytes = self._uncounted_bytes, 0
        for seat in list(self.seats):
            self._count(seat.processor_name, counts)
            if seat.error is not None:
                self.seats.remove(seat)
                seat.give_up(SeatEnd.BROKEN)
            elif seat.chain.is_over:
                self.seats.remove(seat)
                seat.give_up(SeatEnd.OVER)

    def _read_batch(self, seats: Sequence[Seat], batch: Sequence[Arrival], newest_ms: int) -> None:
        self.pace = self._pace_of(newest_ms)
        self._reader.go(self.pace)
        self._reader.watch(regions_together([seat.chain.regions for seat in seats]))
        for output in self._reader.read(batch):
            for seat in seats:
                seat.take(output)
            if any(seat.chain.has_found for seat in seats):
                self._reader.note_detection()

    def _pace_of(self, newest_ms: int) -> Pace:
        """Return how much of a batch that came by then to analyse, in the thread about to."""
        clock, keeper = self._parts.clock, self._parts.pace
        reads_live = self._behind_ms is not None and self._behind_ms <= LIVE_MS
        if self._parts.settings.overload == "latency" or not (reads_live and self._is_real_time):
            return FULL_PACE
        pace = keeper.note(clock.epoch() - newest_ms / 1000, now_seconds=clock.monotonic())
        self._parts.metrics.analysis_share.set(pace.share)
        self._parts.metrics.keyframes_only.set(pace.keyframes_only)
        return pace

    def _drain(self, seats: Sequence[Seat]) -> None:
        for output in self._reader.drain():
            for seat in seats:
                seat.take(output)

    def _end_seats(self) -> None:
        seats, self.seats = self.seats, []
        for seat in seats:
            self._parts.metrics.gate_quiet.labels(seat.processor_name).set(0)
            seat.error = seat.error or self._error
            seat.give_up(SeatEnd.OVER if seat.error is None else SeatEnd.BROKEN)

    def _keep_profile(self) -> None:
        profile = self._reader.profile
        if profile is not None and profile is not self._profile:
            self._profile = profile
            self._parts.profiles.put(self._key, profile, now=self._parts.clock.monotonic())

    def _count(self, name: str, counts: Counter[str]) -> None:
        metrics = self._parts.metrics
        counters = {
            "bytes": metrics.media_bytes,
            "frames": metrics.frames_decoded,
            "skipped": metrics.frames_skipped,
            "audits": metrics.gate_audits,
            "missed_motion": metrics.gate_missed_motion,
        }
        # Hundreds of streams do this several times a second: nothing for what did not happen.
        for what, counter in counters.items():
            if counts[what]:
                counter.labels(name).inc(counts[what])
        if counts["damaged"]:
            metrics.fragments_damaged.labels(name, "packets").inc(counts["damaged"])
        for what, count in counts.items():
            if what.startswith(WAKE) and count:
                metrics.gate_wakes.labels(name, what.removeprefix(WAKE)).inc(count)
        if self._told_quiet.get(name) != self._reader.is_quiet:
            self._told_quiet[name] = self._reader.is_quiet
            metrics.gate_quiet.labels(name).set(self._reader.is_quiet)

    def _note_damage(self, error: DecodeError, fragment: str | None) -> None:
        reason = type(error).__name__
        for seat in tuple(self.seats):
            self._parts.metrics.fragments_damaged.labels(seat.processor_name, reason).inc()
            extra = {**seat.log, "fragment": fragment}
            logger.warning("video cannot be decoded: %s", error, extra=extra)


def _timed(work: Callable[..., None], *args: object) -> float:
    """Return the seconds a job took, without its wait for a thread."""
    started = time.perf_counter()
    work(*args)
    return time.perf_counter() - started
