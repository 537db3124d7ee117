"""From an outbox to the sinks: in order, again and again until acknowledged.

- Items leave in the order they came. Neighbours for one target go out in one call; a call starts
  only when the one before is acknowledged as a whole, so that a notification never leaves before
  the objects it names.
- While a sink is unavailable, delivery tries again with back-off and jitter; nothing is skipped.
- What a sink refuses for good goes to ``dead-letter/PROCESSOR.jsonl``, is counted, and does not
  hold up the rest.
- A target that is gone ends the session: ``on_gone`` gets the StatusMessage, the items stay. Items
  an earlier definition of the processor addressed elsewhere become dead letters instead, as no
  one will bring their target back.
- Delivery is at least once. A repeat happens where the process dies, or is told to stop, between
  a sink's acknowledgement and its note in the outbox.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from streamd.clock import Clock
from streamd.metrics import Metrics
from streamd.pipeline.handoff import Signal
from streamd.pipeline.outbox import Outbox
from streamd.records.items import ARRIVED_MS, Kind, OutboxItem
from streamd.records.values import encode
from streamd.retry import Backoff
from streamd.sinks.errors import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.jsonl import append_lines
from streamd.sinks.sink import Sink

__all__ = ["Delivery", "RunBlocking", "SinkSource"]

logger = logging.getLogger(__name__)

_BATCH_ITEMS = 500
_BATCH_BYTES = 4 * 1024 * 1024

Numbered = list[tuple[int, OutboxItem]]
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
        run_blocking: Runs the outbox's and the dead-letter file's blocking calls.
        on_delivered: Called with a fragment's number once all of its results have arrived.
        on_gone: Called once with the StatusMessage; :meth:`run` returns after it.
        on_health: Called with a sentence when the sink becomes unavailable, ``None`` when it is
            back.

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
        on_delivered: Callable[[str], None] = _ignore,
        on_gone: Callable[[str], None] = _ignore,
        on_health: Callable[[str | None], None] = _ignore,
        backoff: Backoff | None = None,
    ) -> None:
        self._outbox = outbox
        self._sinks = sinks
        self._processor_name = processor_name
        self._dead_letters = dead_letter_dir / f"{processor_name}.jsonl"
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

    @property
    def trouble(self) -> str | None:
        """Why the sink takes nothing at present, ``None`` while it does."""
        return self._trouble

    async def run(self) -> None:
        """Deliver until cancelled, or until a target is gone.

        Raises:
            OutboxError: If the outbox fails or another process has it.

        """
        signal = Signal(asyncio.get_running_loop())
        self._outbox.on_append(signal.set)
        try:
            await self._pump(signal)
        except SinkGoneError as error:
            logger.error("output is gone: %s", error, extra=self._extra())  # noqa: TRY400  # the target's fault, no traceback
            self._on_gone(str(error))
        finally:
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

    async def wait_for_room(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the outbox is not full; return whether that is so.

        Returns early with ``False`` when delivery has ended.
        """
        return await self._until(lambda: not self._outbox.is_full, timeout_seconds)

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
            batch: Numbered = await self._blocking(self._outbox.peek, _BATCH_ITEMS, _BATCH_BYTES)
            self._report_size()
            if batch:
                await self._deliver(batch)
            else:
                # A fragment without results is delivered the moment it is done.
                self._report_fragment(await self._blocking(self._outbox.delivered_fragment))
                await signal.wait()

    async def _deliver(self, batch: Numbered) -> None:
        for _, run in itertools.groupby(batch, key=lambda pair: (pair[1].kind, pair[1].target)):
            await self._deliver_run(list(run))

    async def _deliver_run(self, run: Numbered) -> None:
        """Deliver neighbours for one target; returns when none of them is left."""
        sink = self._sinks.sink_for(run[0][1].kind)
        last_seq, remaining = run[-1][0], run
        while remaining:
            remaining = await self._attempt(sink, remaining)
            await self._acknowledge(remaining[0][0] - 1 if remaining else last_seq)

    async def _attempt(self, sink: Sink, items: Numbered) -> Numbered:
        """Try once; return what is left to deliver, after the back-off where there is one."""
        try:
            await sink.deliver([item for _, item in items])
        except SinkRejectedError as error:
            self._count(sink, error, len(error.rejected))
            await self._bury(sink, items, error.rejected)
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
            if (arrived_ms := item.attributes.get(ARRIVED_MS)) is not None:
                latency.observe(max(0.0, now_ms - int(arrived_ms)) / 1000)
        return [pair for i, pair in enumerate(items) if i not in settled and i not in buried]

    async def _back_off(self, sink: Sink, error: SinkError) -> None:
        if self._trouble is None:
            logger.warning("output %s is unavailable: %s", sink.name, error, extra=self._extra())
            self._trouble = f"Output is unavailable: {error}"
            self._on_health(self._trouble)
        await asyncio.sleep(self._backoff.next_delay())

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._trouble is not None:
            logger.info("output is available again", extra=self._extra())
            self._trouble = None
            self._on_health(None)

    async def _outdated(self, sink: Sink, items: Numbered, error: SinkGoneError) -> Numbered:
        if self._targets is None or items[0][1].target in self._targets:
            left = self._left(sink, items, error)
            await self._acknowledge(left[0][0] - 1 if left else items[-1][0])
            raise error
        lost = {i: str(error) for i in range(len(items)) if i not in error.settled}
        await self._bury(sink, items, lost)
        return self._left(sink, items, error, lost)

    async def _bury(self, sink: Sink, items: Numbered, rejected: dict[int, str]) -> None:
        """Keep what can never be delivered, for a person to look at."""
        now = self._clock.now().isoformat(timespec="milliseconds")
        letters = [
            _letter(items[i][1], time=now, sink=sink.name, reason=reason)
            for i, reason in sorted(rejected.items())
        ]
        logger.error(
            "%d results were refused and are in %s: %s",
            len(letters),
            self._dead_letters,
            next(iter(rejected.values())),
            extra=self._extra(),
        )
        while True:
            try:
                await self._blocking(_append_letters, self._dead_letters, letters)
            except OSError as error:
                # Better to hold up the rest than to lose it: the disk is full for all.
                await self._back_off(sink, SinkUnavailableError(f"dead letters: {error}"))
            else:
                return

    async def _acknowledge(self, up_to_seq: int) -> None:
        if up_to_seq <= self._acknowledged_seq:
            return
        # What has arrived must not be sent again: a cancellation waits for the note of it.
        note = asyncio.ensure_future(self._blocking(self._outbox.acknowledge, up_to_seq))
        try:
            fragment: str | None = await asyncio.shield(note)
        except asyncio.CancelledError:
            await asyncio.wait([note])
            if not note.cancelled():
                # Looked at, so that a failed note is not reported as forgotten.
                note.exception()
            raise
        self._acknowledged_seq = up_to_seq
        self._report_fragment(fragment)
        self._report_size()
        self._advanced.set()

    def _report_fragment(self, fragment: str | None) -> None:
        if fragment is not None and fragment != self._delivered_fragment:
            self._delivered_fragment = fragment
            self._on_delivered(fragment)

    def _report_size(self) -> None:
        self._set_gauges(items=self._outbox.pending(), size_bytes=self._outbox.size_bytes)

    def _set_gauges(self, *, items: int, size_bytes: int) -> None:
        self._metrics.outbox_items.labels(self._processor_name).set(items)
        self._metrics.outbox_bytes.labels(self._processor_name).set(size_bytes)

    def _count(self, sink: Sink, error: SinkError, number: int = 1) -> None:
        self._metrics.sink_errors.labels(sink.name, type(error).__name__).inc(number)

    def _extra(self) -> dict[str, str]:
        return {"stream_processor": self._processor_name, "action": "deliver"}


def _append_letters(path: Path, letters: Sequence[bytes]) -> None:
    append_lines(path, letters, mode=0o600)


def _letter(item: OutboxItem, *, time: str, sink: str, reason: str) -> bytes:
    try:
        body = {"body": item.body.decode()}
    except UnicodeDecodeError:
        body = {"bodyBase64": base64.b64encode(item.body).decode()}
    return encode(
        {
            "time": time,
            "sink": sink,
            "reason": reason,
            "kind": item.kind,
            "target": item.target,
            "key": item.key,
            "contentType": item.content_type,
            "attributes": dict(item.attributes),
            **body,
        }
    )
