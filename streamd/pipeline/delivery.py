"""From an outbox to the sinks: in order, again and again until acknowledged.

- Items leave in the order they came. Neighbours for one target go out in one call; a call starts
  only when the one before is acknowledged as a whole, so that a notification never leaves before
  the objects it names.
- While a sink is unavailable, delivery tries again with back-off and jitter, or when the sink
  asks for it; nothing is skipped.
- What a sink refuses for good, or what has waited longer than the settings allow, becomes a dead
  letter and does not hold up the rest.
- A target that is gone ends the session: ``on_gone`` gets the StatusMessage, the items stay. Items
  an earlier definition of the processor addressed elsewhere become dead letters instead, as no
  one will bring their target back. What follows them for other targets can still be sent past.
- Delivery is at least once. A repeat happens where the process dies, or is told to stop, between
  a sink's acknowledgement and its note in the outbox: one call's items, at most.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

from streamd.clock import Clock
from streamd.config import OutboxSettings
from streamd.metrics import Metrics
from streamd.pipeline.dead_letters import BurialReason, DeadLetters, name_of
from streamd.pipeline.handoff import Signal
from streamd.pipeline.outbox import Outbox, OutboxError
from streamd.records.items import ARRIVED_MS, Kind, OutboxItem
from streamd.retry import Backoff
from streamd.sinks.errors import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.sink import Sink

__all__ = ["Delivery", "RunBlocking", "SinkSource"]

logger = logging.getLogger(__name__)

_BATCH_ITEMS = 500
_BATCH_BYTES = 4 * 1024 * 1024
_NOTIFICATIONS_AT_ONCE = 10
"""They go one by one: so few are repeated after a kill, and none grows old in the queue."""
_MAX_RETRY_AFTER_SECONDS = 600.0
LATE_SECONDS = 5.0
"""From a frame's arrival: a result that needs longer is named in the log, one of a minute's."""
_TELL_LATE_SECONDS = 60.0
REPORT_SECONDS = 2.0
"""How old the metrics of an outbox may be while its sink is away."""
_ROOM_SHARE = 0.75
"""A full outbox has room again below this share, lest intake starts and stops all the time."""

Numbered = list[tuple[int, OutboxItem]]
Note = Callable[[Numbered, Numbered], Awaitable[None]]
"""Writes down what of the first has left, given what of it has not."""
RunBlocking = Callable[..., Awaitable[Any]]
"""``await run_blocking(function, *args)``: in a thread made for it."""


class SinkSource(Protocol):
    """What knows the sink for each kind of output."""

    def sink_for(self, kind: Kind) -> Sink:
        """Return the sink that takes items of this kind."""


def _ignore(*_: object) -> None:
    """Do nothing."""


class Delivery:
    """Pumps one outbox into the sinks; all methods belong to the loop.

    Args:
        outbox: What to deliver; stays open when delivery ends.
        sinks: Where to.
        processor_name: For the dead-letter file, logs and metrics.
        dead_letter_dir: Where dead letters are kept.
        targets: Targets of the processor as it is now; ``None`` takes every item's for current,
            an empty collection none (a processor that is deleted).
        settings: How long results may wait, and how many dead letters are kept.
        run_blocking: Runs the outbox's and the dead-letter file's blocking calls.
        on_delivered: Called with a fragment's number once all of its results have arrived.
        on_gone: Called once with the StatusMessage; :meth:`run` returns after it.
        on_health: Called with a sentence when the sink becomes unavailable, ``None`` when it is
            back.
        session_id: For logs; ``None`` where no session delivers.

    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: SinkSource,
        *,
        processor_name: str,
        dead_letter_dir: Path,
        metrics: Metrics,
        clock: Clock,
        run_blocking: RunBlocking,
        targets: Collection[str] | None = None,
        settings: OutboxSettings | None = None,
        on_delivered: Callable[[str], None] = _ignore,
        on_gone: Callable[[str], None] = _ignore,
        on_health: Callable[[str | None], None] = _ignore,
        backoff: Backoff | None = None,
        session_id: str | None = None,
    ) -> None:
        self._outbox = outbox
        self._sinks = sinks
        self._processor_name = processor_name
        self._log = {"stream_processor": processor_name, "action": "deliver"}
        if session_id is not None:
            self._log["session"] = session_id
        self._told_late_at = float("-inf")
        self._settings = settings or OutboxSettings()
        self._dead_letters = DeadLetters(
            dead_letter_dir,
            processor_name,
            max_bytes=self._settings.max_dead_letter_bytes,
            metrics=metrics,
            clock=clock,
            log_fields=self._log,
        )
        self._metrics = metrics
        self._clock = clock
        self._blocking = run_blocking
        self._targets = targets
        self._on_delivered = on_delivered
        self._on_gone = on_gone
        self._on_health = on_health
        self._backoff = backoff or Backoff()
        self._advanced = asyncio.Event()  # set when items left, or no more will
        self._ended = False
        self._delivered_fragment: str | None = None
        self._acknowledged_seq = 0
        self._trouble: str | None = None
        self._gone_target: str | None = None  # set when run() ended for it
        self._gone: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the sink takes nothing at present, ``None`` while it does."""
        return self._trouble

    @property
    def gone(self) -> str | None:
        """The StatusMessage of the target that is gone, once :meth:`run` has ended for it."""
        return self._gone

    async def run(self) -> None:
        """Deliver until cancelled, or until a target is gone.

        Raises:
            OutboxError: If the outbox fails or another process has it.

        """
        signal = Signal(asyncio.get_running_loop())
        self._outbox.on_append(signal.set)
        reporting = asyncio.create_task(self._keep_reporting(), name="outbox-size")
        try:
            await self._pump(signal)
        except SinkGoneError as error:
            logger.error("output is gone: %s", error, extra=self._log)  # noqa: TRY400  # the target's fault, no traceback
            self._gone = str(error)
            self._on_gone(self._gone)
        finally:
            reporting.cancel()
            await asyncio.wait([reporting])
            self._outbox.on_append(None)
            # Whoever opens the outbox next reports it; twice would be counted twice.
            self._set_gauges(items=0, size_bytes=0)
            self._ended = True
            self._advanced.set()

    async def drain(self, deadline_seconds: float) -> bool:
        """Wait until everything has arrived; return whether it did in time.

        :meth:`run` goes on meanwhile; cancel it afterwards.
        """
        return await self._until(lambda: self._outbox.pending() == 0, deadline_seconds)

    @property
    def has_room(self) -> bool:
        """Whether more results may be made now."""
        return not self._outbox.is_full

    async def wait_for_room(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the outbox is not full; return whether that is so.

        Returns early with ``False`` when delivery has ended.
        """
        if not self._outbox.is_full:
            return True
        outbox = self._outbox
        logger.warning(
            "outbox is full with %d results of %d bytes: video waits until some have left",
            outbox.pending(),
            outbox.size_bytes,
            extra=self._log,
        )
        self._metrics.outbox_full.labels(self._processor_name).set(1)
        try:
            return await self._until(
                lambda: outbox.size_bytes < outbox.max_bytes * _ROOM_SHARE, timeout_seconds
            )
        finally:
            self._metrics.outbox_full.labels(self._processor_name).set(0)
            if not outbox.is_full:
                logger.info("outbox has room again", extra=self._log)

    async def deliver_past(self, deadline_seconds: float) -> None:
        """Deliver, best effort, what waits behind items whose target is gone.

        For the end of a session, after :meth:`run` has returned for that reason: the notice that
        it is over must not wait for a bucket that will not come back. Order holds per target.
        """
        if self._gone_target is None:
            return
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._pump_past({self._gone_target})
        except (TimeoutError, OutboxError) as error:
            logger.warning("not all other results were sent: %r", error, extra=self._log)
        if left := self._outbox.pending():
            logger.warning("%d results stay behind", left, extra=self._log)

    async def _pump_past(self, gone: set[str]) -> None:
        last_seq = 0
        while batch := await self._blocking(self._peek_behind, last_seq):
            for target, run in _runs(batch):
                if target not in gone:
                    try:
                        await self._deliver_run(run, self._note_past)
                    except SinkGoneError:
                        gone.add(target)
            last_seq = batch[-1][0]

    def _peek_behind(self, seq: int) -> Numbered:
        return self._outbox.peek(_BATCH_ITEMS, _BATCH_BYTES, after_seq=seq)

    async def _until(self, fact: Callable[[], bool], timeout_seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                while not fact() and not self._ended:
                    self._advanced.clear()
                    await self._advanced.wait()
        except TimeoutError:
            return False
        return fact()

    async def _pump(self, signal: Signal) -> None:
        while True:
            # In this order: what is appended after the look sets the signal again.
            signal.clear()
            batch, fragment = await self._blocking(self._look)
            self._report_size()
            if batch:
                await self._deliver(batch)
            else:
                self._report_fragment(fragment)
                await signal.wait()

    def _look(self) -> tuple[Numbered, str | None]:
        """Return what is to be delivered next; nothing, and the last fragment that was."""
        batch = self._outbox.peek(_BATCH_ITEMS, _BATCH_BYTES)
        # A fragment without results is delivered the moment it is done.
        return batch, None if batch else self._outbox.delivered_fragment()

    async def _deliver(self, batch: Numbered) -> None:
        for target, run in _runs(batch):
            try:
                await self._deliver_run(run, self._note_in_order)
            except SinkGoneError:
                self._gone_target = target
                raise

    async def _deliver_run(self, run: Numbered, note: Note) -> None:
        """Deliver neighbours for one target; returns when none of them is left."""
        kind = run[0][1].kind
        sink = self._sinks.sink_for(kind)
        at_once = _NOTIFICATIONS_AT_ONCE if kind == "sns" else len(run)
        left = run
        while left:
            call, rest = left[:at_once], left[at_once:]
            try:
                call = await self._bury_expired(sink, call)
                left = [*await self._attempt(sink, call), *rest] if call else rest
            except SinkGoneError as error:
                await note(run, [p for i, p in enumerate(call) if i not in error.settled] + rest)
                raise
            await note(run, left)

    async def _note_in_order(self, run: Numbered, left: Numbered) -> None:
        await self._acknowledge(left[0][0] - 1 if left else run[-1][0])

    async def _note_past(self, run: Numbered, left: Numbered) -> None:
        seqs = {seq for seq, _ in run} - {seq for seq, _ in left}
        await self._finish_noting(self._blocking(self._outbox.remove, seqs))

    async def _attempt(self, sink: Sink, items: Numbered) -> Numbered:
        """Try once; return what is left to deliver, after the back-off where there is one."""
        try:
            await sink.deliver([item for _, item in items])
        except SinkRejectedError as error:
            self._count(sink, error, len(error.rejected))
            await self._bury(sink, items, error.rejected, BurialReason.REFUSED)
            # It has answered: the rest is tried at once.
            self._recovered()
            return self._left(sink, items, error, error.rejected)
        except SinkUnavailableError as error:
            self._count(sink, error)
            left = self._left(sink, items, error)
            await self._back_off(sink, error)
            return left
        except SinkGoneError as error:
            self._count(sink, error)
            return await self._outdated(sink, items, error)
        self._recovered()
        self._left(sink, items, None)
        return []

    def _left(
        self,
        sink: Sink,
        items: Numbered,
        error: SinkError | None,
        buried: Collection[int] = (),
    ) -> Numbered:
        """Count what has arrived and return what has not."""
        settled = range(len(items)) if error is None else error.settled
        arrived = [item for i, (_, item) in enumerate(items) if i in settled]
        self._metrics.records_delivered.labels(sink.name).inc(len(arrived))
        latency = self._metrics.record_latency_seconds.labels(sink.name)
        now_ms = self._clock.epoch() * 1000
        for item in arrived:
            seconds = None
            if (arrived_ms := item.attributes.get(ARRIVED_MS)) is not None:
                seconds = max(0.0, now_ms - int(arrived_ms)) / 1000
                latency.observe(seconds)
            self._trace(sink, item, seconds)
        return [pair for i, pair in enumerate(items) if i not in settled and i not in buried]

    def _trace(self, sink: Sink, item: OutboxItem, seconds: float | None) -> None:
        """Leave a line that joins one result to its session: of all at level debug, or if late."""
        is_late = seconds is not None and seconds > LATE_SECONDS
        if not is_late and not logger.isEnabledFor(logging.DEBUG):
            return
        extra = {**self._log, "sink": sink.name, "seconds": seconds, **name_of(item)}
        now = self._clock.monotonic()
        if is_late and now >= self._told_late_at + _TELL_LATE_SECONDS:
            self._told_late_at = now
            logger.warning("a result came late", extra=extra)
        else:
            logger.debug("result delivered", extra=extra)

    async def _back_off(self, sink: Sink, error: SinkUnavailableError) -> None:
        if self._trouble is None:
            logger.warning("output %s is unavailable: %s", sink.name, error, extra=self._log)
            self._trouble = f"Output is unavailable: {error}"
            self._on_health(self._trouble)
        asked = min(error.retry_after_seconds or 0.0, _MAX_RETRY_AFTER_SECONDS)
        await asyncio.sleep(max(self._backoff.next_delay(), asked))

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._trouble is not None:
            logger.info("output is available again", extra=self._log)
            self._trouble = None
            self._on_health(None)

    async def _outdated(self, sink: Sink, items: Numbered, error: SinkGoneError) -> Numbered:
        if self._targets is None or items[0][1].target in self._targets:
            self._left(sink, items, error)
            raise error
        lost = {i: str(error) for i in range(len(items)) if i not in error.settled}
        await self._bury(sink, items, lost, BurialReason.NO_TARGET)
        return self._left(sink, items, error, lost)

    async def _bury_expired(self, sink: Sink, items: Numbered) -> Numbered:
        """Bury what has waited too long and return the rest."""
        expired = {i: text for i, (_, item) in enumerate(items) if (text := self._too_old(item))}
        if expired:
            await self._bury(sink, items, expired, BurialReason.EXPIRED)
        return [pair for i, pair in enumerate(items) if i not in expired]

    def _too_old(self, item: OutboxItem) -> str | None:
        hours = self._settings.max_age_hours
        limits = {"max_age_hours": None if hours is None else hours * 3600}
        if item.kind == "sns":
            limits["max_notification_age_seconds"] = self._settings.max_notification_age_seconds
        if item.kept_ms is None:
            return None
        age_seconds = self._clock.epoch() - item.kept_ms / 1000
        for key, limit in limits.items():
            if limit is not None and age_seconds > limit:
                return f"waited {age_seconds:.0f} s, longer than 'outbox.{key}' allows"
        return None

    async def _bury(
        self, sink: Sink, items: Numbered, texts: dict[int, str], reason: BurialReason
    ) -> None:
        """Keep what will not be delivered, for a person to look at."""
        dead = [(items[i][1], text) for i, text in sorted(texts.items())]
        bury = functools.partial(self._dead_letters.bury, sink_name=sink.name, reason=reason)
        while True:
            try:
                await self._blocking(bury, dead)
            except OSError as error:
                # Better to hold up the rest than to lose it: the disk is full for all.
                await self._back_off(sink, SinkUnavailableError(f"dead letters: {error}"))
            else:
                return

    async def _acknowledge(self, up_to_seq: int) -> None:
        if up_to_seq <= self._acknowledged_seq:
            return
        fragment: str | None = await self._finish_noting(
            self._blocking(self._outbox.acknowledge, up_to_seq)
        )
        self._acknowledged_seq = up_to_seq
        self._report_fragment(fragment)
        self._report_size()
        self._advanced.set()

    async def _finish_noting(self, noting: Awaitable[Any]) -> Any:
        # What has arrived must not be sent again: a cancellation waits for the note of it.
        note = asyncio.ensure_future(noting)
        try:
            return await asyncio.shield(note)
        except asyncio.CancelledError:
            await asyncio.wait([note])
            if not note.cancelled():
                # Looked at, so that a failed note is not reported as forgotten.
                note.exception()
            raise

    def _report_fragment(self, fragment: str | None) -> None:
        if fragment is not None and fragment != self._delivered_fragment:
            self._delivered_fragment = fragment
            self._on_delivered(fragment)

    async def _keep_reporting(self) -> None:
        # While a sink is away the pump is busy with one call, and the outbox fills behind it.
        while True:
            self._report_size()
            await asyncio.sleep(REPORT_SECONDS)

    def _report_size(self) -> None:
        self._set_gauges(items=self._outbox.pending(), size_bytes=self._outbox.size_bytes)

    def _set_gauges(self, *, items: int, size_bytes: int) -> None:
        self._metrics.outbox_items.labels(self._processor_name).set(items)
        self._metrics.outbox_bytes.labels(self._processor_name).set(size_bytes)

    def _count(self, sink: Sink, error: SinkError, number: int = 1) -> None:
        self._metrics.sink_errors.labels(sink.name, type(error).__name__).inc(number)


def _runs(batch: Numbered) -> Iterator[tuple[str, Numbered]]:
    """Cut a batch into neighbours for one target."""
    for (_, target), run in itertools.groupby(
        batch, key=lambda pair: (pair[1].kind, pair[1].target)
    ):
        yield target, list(run)
