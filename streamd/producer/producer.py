"""A source into a stream: paced, fragmented, sent, and sent again until acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import aiohttp

from streamd.clock import Clock, SystemClock
from streamd.kvs.acks import Acknowledgement, EventType
from streamd.producer.buffer import FragmentBuffer
from streamd.producer.errors import EndpointError, ProducerError
from streamd.producer.events import Event, EventKind, ProducerOptions, ProducerStats
from streamd.producer.kinesis_video import KinesisVideoControl, StreamInfo
from streamd.producer.media import MediaSource
from streamd.producer.pump import Pump
from streamd.producer.upload import put_media
from streamd.retry import Backoff

__all__ = ["Producer"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
LOOK_AGAIN_SECONDS = 7.0
"""After so long without an acknowledgement, IDLE comes after 5 s, the endpoint is asked for again."""
STOP_SECONDS = 10.0
"""Longest wait for acknowledgements after :meth:`Producer.stop`."""


class Producer:
    """Sends one source into one stream; used once.

    Args:
        control: Kinesis Video's control plane.
        stream: The stream, which exists.
        source: The opened source; the producer closes it.
        reopen: Opens the source again: the next loop, or a camera that was away.
        options: How to send.
        observer: Told what happens, on the event loop.
        clock: Where time comes from.

    """

    def __init__(
        self,
        *,
        control: KinesisVideoControl,
        stream: StreamInfo,
        source: MediaSource,
        reopen: Callable[[], MediaSource],
        options: ProducerOptions | None = None,
        observer: Callable[[Event], None] = lambda _event: None,
        clock: Clock | None = None,
    ) -> None:
        options = options or ProducerOptions()
        self._control = control
        self._stream = stream
        self._observer = observer
        self._clock = clock or SystemClock()
        self._give_up_seconds = options.give_up_seconds
        self._progress_at = self._clock.monotonic()
        self._heard_at = self._progress_at
        self._document_ended = False
        # One thread owns the source (it must not be closed while it is read), one talks.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="producer-source")
        self._talker = ThreadPoolExecutor(1, thread_name_prefix="producer-control")
        self._buffer = FragmentBuffer(
            max_bytes=options.max_buffer_bytes, drop_oldest=source.is_live
        )
        self.stats = ProducerStats()
        """Grows while the producer runs; read it any time."""
        self._pump = Pump(
            source=source,
            reopen=reopen,
            buffer=self._buffer,
            options=options,
            stats=self.stats,
            tell=self._tell,
            run_blocking=lambda function: _run_in(self._reader, function),
            clock=self._clock,
        )

    def stop(self) -> None:
        """End the source; what was read still goes out. May be called twice."""
        self._pump.stop()
        self._progress_at = self._clock.monotonic()
        self._give_up_seconds = min(STOP_SECONDS, self._give_up_seconds or STOP_SECONDS)

    async def run(self) -> ProducerStats:
        """Send until the source ends and every fragment is acknowledged.

        Raises:
            ProducerError: If the source broke, or the endpoint stayed away or refused.

        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump.run(), name="producer-source")
                tasks.create_task(self._deliver(), name="producer-upload")
        except ExceptionGroup as group:
            # One cause is enough for a user; the other task was cancelled by it.
            raise group.exceptions[0] from None
        finally:
            await _run_in(self._reader, self._pump.close)
            self._reader.shutdown(wait=False)
            self._talker.shutdown(wait=False)
        if self._pump.failure is not None:
            raise self._pump.failure
        return self.stats

    async def _deliver(self) -> None:
        backoff = Backoff(base_seconds=0.5, cap_seconds=10.0)
        async with aiohttp.ClientSession() as session:
            while True:
                if not self._buffer.pending:
                    await self._buffer.wait()
                    self._progress_at = self._clock.monotonic()
                if self._buffer.is_drained:
                    return
                progress_at = self._progress_at
                failure = await self._connection(session)
                if self._buffer.is_drained:
                    return
                if self._progress_at > progress_at:
                    backoff.reset()
                if failure is not None:
                    await self._before_retry(failure, backoff.next_delay())

    async def _connection(self, session: aiohttp.ClientSession) -> EndpointError | None:
        """Run one connection; returns why the next one should wait, if it should."""
        self._document_ended, progress_at = False, self._progress_at
        try:
            name = self._stream.name
            url = await _run_in(self._talker, lambda: self._control.put_media_endpoint(name))
            self._tell(EventKind.CONNECTED, url)
            upload = put_media(
                session,
                url,
                stream_name=name,
                body=self._counted(self._buffer.document()),
                signer=self._control.signer,
                on_acknowledgement=self._take_acknowledgement,
                verify=self._control.verifies(url),
            )
            await self._watched(upload, url)
        except EndpointError as error:
            return error
        if self._document_ended and self._progress_at > progress_at:
            return None  # the next document has other tracks
        return EndpointError("the endpoint closed the connection")

    async def _watched(self, upload: Coroutine[None, None, None], url: str) -> None:
        """Run an upload; left when it is silent and the stream is elsewhere by now.

        A replica that hangs, or is cut off, closes no connection while another takes its streams.
        """
        task = asyncio.create_task(upload, name="producer-put-media")
        self._heard_at = self._clock.monotonic()
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_AGAIN_SECONDS))[0]:
                silent = self._clock.monotonic() - self._heard_at
                if silent >= LOOK_AGAIN_SECONDS and await self._has_moved(url):
                    raise EndpointError("the stream is at another endpoint now")
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _has_moved(self, url: str) -> bool:
        name = self._stream.name
        try:
            return url != await _run_in(
                self._talker, lambda: self._control.put_media_endpoint(name)
            )
        except ProducerError as error:
            logger.debug("whether the stream has moved cannot be told: %s", error)
            return False

    async def _before_retry(self, error: EndpointError, delay: float) -> None:
        limit = self._give_up_seconds
        if limit is not None and self._clock.monotonic() - self._progress_at > limit:
            text = f"{error}; no fragment was acknowledged for {limit:g} s"
            raise EndpointError(text, hint=error.hint) from error
        self.stats.reconnects += 1
        pending = self._buffer.pending
        text = f"{error}; next try in {delay:.1f} s, {pending} fragments wait"
        self._tell(EventKind.DISCONNECTED, text)
        await asyncio.sleep(delay)

    def _take_acknowledgement(self, acknowledgement: Acknowledgement) -> None:
        self._heard_at = self._clock.monotonic()
        kind, timecode = acknowledgement.event_type, acknowledgement.fragment_timecode_ms
        self.stats.received += kind is EventType.RECEIVED
        self.stats.persisted += kind is EventType.PERSISTED
        if acknowledgement.fragment_number:
            self.stats.last_fragment_number = acknowledgement.fragment_number
        # Without retention nothing is ever persisted.
        final = EventType.PERSISTED if self._stream.retention_hours else EventType.RECEIVED
        if kind is final and timecode is not None and self._buffer.acknowledge(timecode):
            self._progress_at = self._clock.monotonic()
        self._observer(Event(kind=EventKind.ACKNOWLEDGED, acknowledgement=acknowledgement))

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in body:
            self.stats.bytes_sent += len(chunk)
            yield chunk
        self._document_ended = True

    def _tell(self, kind: EventKind, text: str) -> None:
        logger.debug("%s: %s", kind.value, text, extra={"stream": self._stream.name})
        self._observer(Event(kind=kind, text=text))


async def _run_in(executor: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, function)
