"""One session of a stream processor, from the claim to its last status.

The order of an end, whatever its cause: stop reading, finish the job in hand, write what the
end adds to the outbox, deliver, then report. A lost lease ends without any of the writes.

A full or failing disk, a store that is away, a lack of memory or descriptors is no end: the
session begins anew behind what is safe, as after a crash, until it can go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable
from typing import Any

from streamd.kvs.fragments import FragmentEnded, FragmentEvent, Packet
from streamd.lifecycle import Event, Status
from streamd.pipeline.chain import Arrival, MediaChain
from streamd.pipeline.delivery import Delivery
from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.fence import IsHeld, always_held
from streamd.pipeline.intake import Intake
from streamd.pipeline.outbox import OutboxError, OutboxTakenError
from streamd.pipeline.parts import SessionParts
from streamd.pipeline.preparation import prepare
from streamd.pipeline.source import MediaSource, Opened, ReadEnded, stream_name_of
from streamd.resources import ConnectedHomeSettings
from streamd.retry import Backoff
from streamd.store import ClaimedSession
from streamd.store.errors import StaleEpochError, StoreError, StoreUnavailableError

__all__ = ["SessionRunner"]

logger = logging.getLogger(__name__)

INTAKE_BYTES = 16 * 1024 * 1024
"""Encoded video waiting for analysis: half a minute of a 4 Mbit/s camera."""
DELIVER_AT_STOP_SECONDS = 15.0
"""How long a stop waits for the sink; what is left is delivered later."""
DELIVER_AT_FAILURE_SECONDS = 5.0
INFORM_SECONDS = 2.0
NO_MEDIA_NOTICE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A session that ran this long has come out of its shortage."""
UNEXPECTED_TRIES = 4
"""What nobody foresaw may not happen again; a session that breaks this often ends FAILED."""
CALL_AGAIN_AT_ONCE_SECONDS = 1.0
CALL_AGAIN_SECONDS = 0.1

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
        self._is_over = False
        self._delivered: str | None = None
        self._checkpointed: str | None = None
        # What DescribeStreamProcessor should say, the gravest first, and what it says.
        self._shortage: str | None = None
        self._trouble: str | None = None
        self._silence: str | None = None
        self._notice: str | None = None
        self._said: str | None = None
        self._log = {
            "stream_processor": claim.processor.name,
            "session": claim.session.session_id,
        }

    def request_stop(self) -> None:
        """End in order: StopStreamProcessor was called, which made the status STOPPING."""
        self._processor = self._processor.model_copy(update={"status": Status.STOPPING})
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
        if self._shortage is None:
            logger.error("session cannot go on now, trying again: %s", reason, extra=self._log)
        self._shortage = f"Cannot go on at present: {reason}"
        self._parts.metrics.session_shortages.labels(type(error).__name__).inc()
        self._delivery_error = None
        if self._outcome is None:
            self._ending.clear()

    async def _tell_shortage(self) -> None:
        try:
            await self._say()
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
        self._notice = prepared.notice
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
        """Read and analyse until the session ends."""
        intake: Intake[Arrival] = Intake(max_bytes=INTAKE_BYTES)
        reader = asyncio.create_task(self._read(chain, intake), name="reader")
        ender = asyncio.create_task(self._stop_reading(reader, intake), name="ender")
        try:
            while not self._ending.is_set() and (batch := await intake.take()):
                # Results already made come first: no new ones while the outbox is full.
                await self._until_room(delivery)
                if await self._parts.engine.run(chain.process, batch):
                    self._end(_Outcome.ENDED)
            if self._delivery_error is not None:
                raise self._delivery_error
            self._end(_Outcome.ENDED)
        finally:
            reader.cancel()
            ender.cancel()
            results = await asyncio.gather(reader, ender, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _until_room(self, delivery: Delivery) -> None:
        """Wait while the outbox is full; a stop does not wait for a dead sink."""
        room = asyncio.create_task(delivery.wait_for_room(), name="room")
        ending = asyncio.create_task(self._ending.wait(), name="ending")
        try:
            await asyncio.wait({room, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
            ending.cancel()
            await asyncio.gather(room, ending, return_exceptions=True)

    async def _stop_reading(self, reader: asyncio.Task[None], intake: Intake[Arrival]) -> None:
        await self._ending.wait()
        reader.cancel()
        # Not analysed: after a stop nobody asks for it, after a drain it is read again.
        await intake.discard()

    async def _read(self, chain: MediaChain, intake: Intake[Arrival]) -> None:
        try:
            await self._read_on(chain, intake)
        except SessionFailedError as error:
            self._fail(str(error))
        finally:
            await intake.close()

    async def _read_on(self, chain: MediaChain, intake: Intake[Arrival]) -> None:
        loop = asyncio.get_running_loop()
        metrics, name = self._parts.metrics, self._processor.name
        source = MediaSource(
            client=self._parts.client,
            stream_arn=self._processor.definition.input_arn,
            account_id=self._processor.account_id,
            role_arn=self._parts.role_of(self._processor),
            start=self._session.start,
            after_fragment=chain.progress.last_fragment_number,
            started_at=self._session.created_at,
            # Opened before, by another process or by this one before a shortage.
            resumed=self._session.epoch > 1 or self._opened,
        )
        backoff = Backoff(base_seconds=0.2, cap_seconds=5.0)
        due = _Due(self._parts.settings.analysis.fps)
        idle_seconds = self._parts.settings.analysis.session_idle_seconds
        media_at = loop.time()
        while True:
            called_at = loop.time()
            answered = False
            reason = ""
            limit = idle_seconds if self._is_label else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit) as deadline:
                    async for event in source.read():
                        if isinstance(event, Opened):
                            answered = True
                            await self._report_opened()
                        elif isinstance(event, ReadEnded):
                            self._note_end(event)
                            reason = f" ({event.error})" if event.error else ""
                            if event.fragments:
                                backoff.reset()
                        else:
                            media_at = loop.time()
                            deadline.reschedule(None if limit is None else media_at + limit)
                            self._silence = None
                            self._shortage = None
                            size = len(event.data) if isinstance(event, Packet) else 0
                            metrics.media_bytes.labels(name).inc(size)
                            arrival = Arrival(
                                event=event, epoch_ms=int(self._parts.clock.epoch() * 1000)
                            )
                            await intake.put(
                                arrival,
                                size_bytes=size + 256,
                                urgent=due(event),
                            )
            silent_seconds = loop.time() - media_at
            if self._is_label and silent_seconds >= idle_seconds:
                return
            if silent_seconds >= NO_MEDIA_NOTICE_SECONDS:
                stream = stream_name_of(self._processor.definition.input_arn)
                self._silence = f"No media is arriving on stream {stream}; waiting for it{reason}"
            metrics.source_reconnects.labels(name).inc()
            # An answer that was open for a while ended because nothing came: ask again at
            # once, or the camera's first pictures wait for nothing.
            lasted = answered and loop.time() - called_at > CALL_AGAIN_AT_ONCE_SECONDS
            await asyncio.sleep(CALL_AGAIN_SECONDS if lasted else backoff.next_delay())

    def _note_end(self, ended: ReadEnded) -> None:
        if ended.damaged:
            self._parts.metrics.fragments_damaged.labels(self._processor.name, "media").inc()
        if ended.error is not None:
            logger.warning("media was cut off", extra={**self._log, "reason": ended.error})

    async def _finish(self, chain: MediaChain, delivery: Delivery) -> None:
        outcome = self._outcome
        if outcome is _Outcome.LOST:
            raise StaleEpochError(self._session.session_id, self._session.epoch)
        if outcome is _Outcome.DRAINED:
            await delivery.drain(DELIVER_AT_STOP_SECONDS)
            await self._checkpoint()
            await self._store(self._parts.store.release_session)
            logger.info("session handed over", extra=self._log)
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
        await self._report(Event.SESSION_ENDED)

    async def _keep_store_informed(self) -> None:
        """Write down, now and then, how far delivery is and what there is to say."""
        while True:
            await asyncio.sleep(INFORM_SECONDS)
            try:
                await self._checkpoint()
                await self._say()
            except StaleEpochError:
                self.lose()
            except StoreError as error:
                logger.warning("the store cannot be told: %s", error, extra=self._log)

    async def _checkpoint(self) -> None:
        if self._delivered != self._checkpointed:
            delivered = self._delivered
            await self._store(self._parts.store.checkpoint, delivered)
            self._checkpointed = delivered

    async def _say(self) -> None:
        message = self._shortage or self._trouble or self._silence or self._notice
        if message != self._said:
            if message is not None:
                logger.info("%s", message, extra=self._log)
            await self._store(self._parts.store.set_status_message, message)
            self._said = message

    def _note_delivered(self, fragment_number: str) -> None:
        self._delivered = fragment_number

    def _note_health(self, trouble: str | None) -> None:
        self._trouble = trouble

    def _delivery_ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and isinstance(error := pump.exception(), OutboxTakenError):
            logger.warning("outbox taken over: %s", error, extra=self._log)
            self.lose()
        elif not pump.cancelled() and isinstance(error, Exception):
            # Met where the session waits: it begins anew, or ends.
            self._delivery_error = error
            self._ending.set()

    async def _report_opened(self) -> None:
        if not self._opened and not self._is_label:
            await self._report(Event.INPUT_OPENED)
        self._opened = True

    async def _report_failure(self, message: str) -> None:
        self._parts.metrics.session_failures.labels(self._processor.definition.settings.kind).inc()
        backoff = Backoff(base_seconds=0.5, cap_seconds=5.0)
        while not self._draining and self._outcome is not _Outcome.LOST:
            try:
                await self._report(Event.SESSION_FAILED, message)
            except StaleEpochError:
                return
            except StoreUnavailableError as error:
                logger.warning("the store cannot be told: %s", error, extra=self._log)
                await asyncio.sleep(backoff.next_delay())
            else:
                return

    async def _report(self, event: Event, message: str | None = None) -> None:
        before = self._processor.status
        after = await self._parts.run_blocking(
            lambda: self._parts.store.report(
                self._session.session_id, self._session.epoch, event, status_message=message
            )
        )
        self._is_over = event is not Event.INPUT_OPENED
        if after is not before:
            self._parts.metrics.status_changes.labels(before, after).inc()
            logger.info(
                "%s -> %s", before, after, extra={**self._log, "status_message": message or ""}
            )
            self._processor = self._processor.model_copy(update={"status": after})

    async def _store(self, call: Callable[..., Any], *args: object) -> None:
        await self._parts.run_blocking(call, self._session.session_id, self._session.epoch, *args)

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


class _Due:
    """Tells which events need the analysis now: a frame to analyse, the end of a fragment.

    It looks at packets, before decoding, so it may be a frame early or late where pictures are
    reordered; which frames are analysed is decided by the sampler, after decoding.
    """

    def __init__(self, fps: float) -> None:
        self._step_ms = 1000 / fps
        self._next_ms = 0.0

    def __call__(self, event: FragmentEvent) -> bool:
        if not isinstance(event, Packet):
            return isinstance(event, FragmentEnded)
        at_ms = event.fragment.producer_timestamp_ms + event.offset_ms
        if self._next_ms - self._step_ms <= at_ms < self._next_ms:
            return False
        self._next_ms = at_ms + self._step_ms
        return True
