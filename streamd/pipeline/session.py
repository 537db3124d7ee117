"""One session of a stream processor, from the claim to its last status.

The order of an end, whatever its cause: leave the feed when the job in hand is done, write what
the end adds to the outbox, deliver, then report. A lost lease ends without any of the writes.

A full or failing disk, a store that is away, a lack of memory or descriptors is no end: the
session begins anew behind what is safe, as after a crash, until it can go on.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any

from streamd.lifecycle import Event, Status
from streamd.pipeline.chain import MediaChain
from streamd.pipeline.delivery import Delivery
from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.feed import StreamFeed
from streamd.pipeline.fence import IsHeld, always_held
from streamd.pipeline.outbox import OutboxError, OutboxTakenError
from streamd.pipeline.parts import SessionParts
from streamd.pipeline.preparation import prepare
from streamd.pipeline.reporting import SessionReporter
from streamd.pipeline.seat import Seat, SeatEnd
from streamd.pipeline.source import MediaSource
from streamd.resources import ConnectedHomeSettings
from streamd.retry import Backoff
from streamd.store import ClaimedSession
from streamd.store.errors import StaleEpochError, StoreError, StoreUnavailableError

__all__ = ["SessionRunner"]

logger = logging.getLogger(__name__)

DELIVER_AT_STOP_SECONDS = 15.0
"""How long a stop waits for the sink; what is left is delivered later."""
DELIVER_AT_FAILURE_SECONDS = 5.0
INFORM_SECONDS = 2.0
SHORTEST_LOOK_SECONDS = 0.05
STEADY_SECONDS = 30.0
"""A session that ran this long has come out of its shortage."""
UNEXPECTED_TRIES = 4
"""What nobody foresaw may not happen again; a session that breaks this often ends FAILED."""

_SHORTAGES = (OutboxError, StoreUnavailableError, OSError, MemoryError)
"""What a machine may lack for a while; the video and the processor are not at fault."""


class _Outcome(enum.Enum):
    """Why a session stops reading."""

    ENDED = "ended"  # a label session reached its duration, or its media ended
    STOPPED = "stopped"  # StopStreamProcessor
    DRAINED = "drained"  # this process shuts down; another one goes on
    FAILED = "failed"  # it cannot go on
    LOST = "lost"  # the lease is somebody else's: write nothing more


class SessionRunner:
    """Runs one claimed session; never raises but for cancellation."""

    def __init__(
        self, claim: ClaimedSession, parts: SessionParts, *, is_held: IsHeld = always_held
    ) -> None:
        self._session = claim.session
        self._processor = claim.processor
        self._parts = parts
        self._is_held = is_held
        self._ending = asyncio.Event()
        self._outcome: _Outcome | None = None
        self._failure = ""
        self._draining = False
        self._delivery_error: Exception | None = None
        self._is_label = isinstance(claim.processor.definition.settings, ConnectedHomeSettings)
        self._opened = False
        self._seat: Seat | None = None
        self._is_over = False
        self._reporter = SessionReporter(claim, parts)
        self._log = self._reporter.log

    def request_stop(self) -> None:
        """End in order: StopStreamProcessor was called, which made the status STOPPING."""
        self._reporter.status = Status.STOPPING
        self._end(_Outcome.STOPPED)

    def drain(self) -> None:
        """End so that another process can go on at once."""
        self._draining = True
        self._end(_Outcome.DRAINED)

    def lose(self) -> bool:
        """End without writing: the lease is gone; returns whether that is news."""
        is_news = not self._is_over and self._outcome is not _Outcome.LOST
        # Overrides an end in progress, whose writes would be refused anyway.
        self._outcome = _Outcome.LOST
        self._ending.set()
        return is_news

    async def run(self) -> None:
        """Run to the end and report it."""
        kind = self._processor.definition.settings.kind
        gauge = self._parts.metrics.sessions.labels(kind)
        gauge.inc()
        try:
            await self._run_through_shortages()
        except SessionFailedError as error:
            await self._report_failure(str(error))
        except (StaleEpochError, OutboxTakenError):
            logger.warning("session was taken over", extra=self._log)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The outer wall of a session: the others must not notice.
            logger.exception("session failed unexpectedly", extra=self._log)
            await self._report_failure("Internal server error")
        finally:
            gauge.dec()

    async def _run_through_shortages(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(base_seconds=0.5, cap_seconds=5.0)
        unexpected = 0
        while True:
            started = loop.time()
            try:
                return await self._run()
            except (SessionFailedError, StaleEpochError, OutboxTakenError):
                raise
            except Exception as error:
                if self._outcome is _Outcome.LOST:
                    raise StaleEpochError(self._session.session_id, self._session.epoch) from error
                if loop.time() - started > STEADY_SECONDS:
                    backoff.reset()
                    unexpected = 0
                if not _is_shortage(error):
                    unexpected += 1
                    if unexpected == UNEXPECTED_TRIES:
                        raise
                    logger.exception("session broke, beginning anew", extra=self._log)
                self._note_shortage(error)
                if self._draining:
                    # What is safe stays safe; whoever claims the session next goes on from it.
                    return None
            await self._tell_shortage()
            await asyncio.sleep(backoff.next_delay())

    def _note_shortage(self, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        if self._reporter.shortage is None:
            logger.error("session cannot go on now, trying again: %s", reason, extra=self._log)
        self._reporter.shortage = f"Cannot go on at present: {reason}"
        self._parts.metrics.session_shortages.labels(type(error).__name__).inc()
        self._delivery_error = None
        if self._outcome is None:
            self._ending.clear()

    async def _tell_shortage(self) -> None:
        try:
            await self._reporter.say(self._feed)
        except StoreUnavailableError as error:
            logger.debug("the store cannot be told: %s", error, extra=self._log)

    async def _run(self) -> None:
        prepared = await prepare(
            self._processor,
            self._session,
            self._parts,
            is_held=self._is_held,
            on_delivered=self._note_delivered,
            on_gone=self._fail,
            on_health=self._note_health,
        )
        chain, delivery = prepared.chain, prepared.delivery
        self._reporter.notice = prepared.notice
        pump = asyncio.create_task(delivery.run(), name=f"delivery-{self._processor.name}")
        pump.add_done_callback(self._delivery_ended)
        helper = asyncio.create_task(self._keep_store_informed(), name="informer")
        try:
            await self._stream(chain, delivery)
            await self._finish(chain, delivery)
        finally:
            for task in (helper, pump):
                task.cancel()
            # How delivery ended was looked at when it did.
            await asyncio.gather(helper, pump, return_exceptions=True)
            await self._parts.engine.run(chain.close)

    async def _stream(self, chain: MediaChain, delivery: Delivery) -> None:
        """Sit at feeds of the stream until the session ends."""
        ending = asyncio.create_task(self._ending.wait(), name="ending")
        try:
            while not self._ending.is_set():
                if await self._sit(chain, delivery, ending) is SeatEnd.OVER:
                    self._end(_Outcome.ENDED)
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        if self._delivery_error is not None:
            raise self._delivery_error

    async def _sit(
        self, chain: MediaChain, delivery: Delivery, ending: asyncio.Task[bool]
    ) -> SeatEnd | None:
        """Be shown the stream until the seat or the session ends."""
        seat = self._seat = Seat(
            chain,
            processor_name=self._processor.name,
            delivery=delivery,
            on_busy=self._parts.on_busy,
            log=self._log,
        )
        self._parts.feeds.open(self._feed_key, self._source(chain), seat)
        ended = asyncio.create_task(seat.ended.wait(), name="seat")
        watchers = [asyncio.create_task(self._report_opened(seat), name="opened")]
        if self._is_label:
            watchers.append(asyncio.create_task(self._watch_silence(seat), name="silence"))
        try:
            waiting: set[asyncio.Task[Any]] = {ended, ending, *watchers}
            while not (ended.done() or ending.done()):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for watcher in done.intersection(watchers):
                    watcher.result()
        finally:
            for task in (ended, *watchers):
                task.cancel()
            await asyncio.gather(ended, *watchers, return_exceptions=True)
            while seat.feed is not None:  # it may be moved while this waits
                await seat.feed.leave(seat, drain=self._outcome is _Outcome.STOPPED)
        if seat.error is not None:
            raise seat.error
        return seat.end

    @property
    def _feed(self) -> StreamFeed | None:
        return self._seat.feed if self._seat is not None else None

    @property
    def _feed_key(self) -> tuple[str, str, str | None]:
        # Who may not read a stream is not shown what another may.
        role = self._parts.role_of(self._processor)
        return self._processor.account_id, self._processor.definition.input_arn, role

    def _source(self, chain: MediaChain) -> MediaSource:
        return MediaSource(
            client=self._parts.client,
            stream_arn=self._processor.definition.input_arn,
            account_id=self._processor.account_id,
            role_arn=self._parts.role_of(self._processor),
            start=self._session.start,
            after_fragment=chain.progress.last_fragment_number,
            started_at=self._session.created_at,
            # Opened before, by another process or by this one.
            resumed=self._session.epoch > 1 or self._opened,
            log=self._log,
        )

    async def _watch_silence(self, seat: Seat) -> None:
        """End a label session when its stream brings nothing any more."""
        limit = self._parts.settings.analysis.session_idle_seconds
        while (feed := seat.feed) is not None:
            left = limit - feed.silent_seconds
            if left <= 0:
                await feed.finish(seat)
                return
            await asyncio.sleep(max(left, SHORTEST_LOOK_SECONDS))

    async def _finish(self, chain: MediaChain, delivery: Delivery) -> None:
        outcome = self._outcome
        if outcome is _Outcome.LOST:
            raise StaleEpochError(self._session.session_id, self._session.epoch)
        if outcome is _Outcome.DRAINED:
            await delivery.drain(DELIVER_AT_STOP_SECONDS)
            await self._reporter.checkpoint()
            await self._reporter.release()
            return
        failure = self._failure if outcome is _Outcome.FAILED else None
        await self._parts.engine.run(chain.finish, failure)
        await delivery.drain(
            DELIVER_AT_STOP_SECONDS if failure is None else DELIVER_AT_FAILURE_SECONDS
        )
        # A target found missing now fails the session too. The notice of its end must not stay
        # behind objects for a bucket that is gone.
        await delivery.deliver_past(DELIVER_AT_FAILURE_SECONDS)
        if (failure := failure or delivery.gone) is not None:
            raise SessionFailedError(failure)
        await self._report_end(Event.SESSION_ENDED)

    async def _keep_store_informed(self) -> None:
        """Write down, now and then, how far delivery is and what there is to say."""
        while True:
            await asyncio.sleep(INFORM_SECONDS)
            try:
                await self._reporter.checkpoint()
                await self._reporter.say(self._feed)
            except StaleEpochError:
                self.lose()
            except StoreError as error:
                logger.warning("the store cannot be told: %s", error, extra=self._log)

    def _note_delivered(self, fragment_number: str) -> None:
        self._reporter.delivered = fragment_number

    def _note_health(self, trouble: str | None) -> None:
        self._reporter.trouble = trouble

    def _delivery_ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and isinstance(error := pump.exception(), OutboxTakenError):
            logger.warning("outbox taken over: %s", error, extra=self._log)
            self.lose()
        elif not pump.cancelled() and isinstance(error, Exception):
            # Met where the session waits: it begins anew, or ends.
            self._delivery_error = error
            self._ending.set()

    async def _report_opened(self, seat: Seat) -> None:
        if seat.feed is not None:
            await seat.feed.opened.wait()
        if not self._opened and not self._is_label:
            await self._reporter.report(Event.INPUT_OPENED)
        self._opened = True

    async def _report_failure(self, message: str) -> None:
        self._parts.metrics.session_failures.labels(self._processor.definition.settings.kind).inc()
        backoff = Backoff(base_seconds=0.5, cap_seconds=5.0)
        while not self._draining and self._outcome is not _Outcome.LOST:
            try:
                await self._report_end(Event.SESSION_FAILED, message)
            except StaleEpochError:
                return
            except StoreUnavailableError as error:
                logger.warning("the store cannot be told: %s", error, extra=self._log)
                await asyncio.sleep(backoff.next_delay())
            else:
                return

    async def _report_end(self, event: Event, message: str | None = None) -> None:
        await self._reporter.report(event, message)
        self._is_over = True

    def _fail(self, message: str) -> None:
        self._failure = self._failure or message
        self._end(_Outcome.FAILED)

    def _end(self, outcome: _Outcome) -> None:
        # The first cause stands; only a lost lease overrides it.
        self._outcome = self._outcome or outcome
        self._ending.set()


def _is_shortage(error: Exception) -> bool:
    # Threads have no exception of their own.
    return isinstance(error, _SHORTAGES) or "can't start new thread" in str(error)
