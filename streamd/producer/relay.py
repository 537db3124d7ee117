"""A camera of the settings, relayed into its video stream for as long as it is ours.

A camera that is away, refuses, or sends nothing is tried again with back-off and jitter; it
disturbs nobody. Its video is not transcoded unless the settings say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streamd.clock import Clock
from streamd.config import CameraSettings
from streamd.metrics import Metrics
from streamd.producer.camera_clock import ClockSource
from streamd.producer.errors import ProducerError
from streamd.producer.events import Event, EventKind, ProducerOptions, ProducerStats
from streamd.producer.kinesis_video import KinesisVideoControl
from streamd.producer.producer import Producer
from streamd.producer.source import PyavSource, SourceOptions
from streamd.retry import Backoff

__all__ = ["CameraRelay"]

logger = logging.getLogger(__name__)


class CameraRelay:
    """One camera."""

    def __init__(
        self,
        name: str,
        settings: CameraSettings,
        *,
        connect: Callable[[], KinesisVideoControl],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.name = name
        self._settings = settings
        self._stream = settings.stream or name
        self._connect = connect
        self._metrics = metrics
        self._clock = clock
        self._producer: Producer | None = None
        self._stopping = asyncio.Event()
        self._counted = ProducerStats()
        self._trouble = ""
        # Opening a camera blocks for as long as its time-out: a thread of its own.
        self._opener = ThreadPoolExecutor(1, thread_name_prefix=f"camera-{name}")

    def stop(self) -> None:
        """End after the fragments that were read are acknowledged."""
        self._stopping.set()
        if self._producer is not None:
            self._producer.stop()

    async def run(self) -> None:
        """Relay until stopped or cancelled."""
        backoff = Backoff(base_seconds=0.5, cap_seconds=15.0)
        state = self._metrics.camera_up.labels(self.name)
        try:
            while not self._stopping.is_set():
                state.set(0)
                try:
                    await self._relay(backoff)
                    text = "the camera's video ended"
                except ProducerError as error:
                    text = str(error)
                if self._stopping.is_set():
                    break
                self._complain(text)
                self._metrics.camera_reconnects.labels(self.name).inc()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), backoff.next_delay())
        finally:
            state.set(0)
            self._metrics.camera_clock_used.labels(self.name).set(0)
            self._opener.shutdown(wait=False, cancel_futures=True)

    async def _relay(self, backoff: Backoff) -> None:
        control = await self._blocking(self._connect)
        stream = await self._blocking(
            lambda: control.ensure_stream(
                self._stream, retention_hours=self._settings.retention_hours
            )
        )
        source = await self._blocking(self._open)
        for note in source.notes:
            logger.info("camera: %s", note, extra={"camera": self.name})
        self._counted = ProducerStats()
        producer = Producer(
            control=control,
            stream=stream,
            source=source,
            reopen=self._open,
            # A file stands in for a camera by beginning again.
            options=ProducerOptions(
                give_up_seconds=None,
                loop=not source.is_live,
                clock=ClockSource(self._settings.clock),
            ),
            observer=lambda event: self._observe(event, backoff),
            clock=self._clock,
        )
        self._producer = producer
        if self._stopping.is_set():
            producer.stop()
        logger.info("camera connected", extra={"camera": self.name, "stream": self._stream})
        try:
            await producer.run()
        finally:
            self._producer = None

    def _open(self) -> PyavSource:
        settings = self._settings
        return PyavSource(
            settings.url.get_secret_value(),
            SourceOptions(
                audio=settings.audio,
                transcode=settings.transcode,
                rtsp_transport=settings.rtsp_transport,
                open_timeout_seconds=settings.open_timeout_seconds,
                read_timeout_seconds=settings.read_timeout_seconds,
            ),
        )

    def _observe(self, event: Event, backoff: Backoff) -> None:
        state = self._metrics.camera_up.labels(self.name)
        if event.kind is EventKind.SOURCE_LOST:
            state.set(0)
            self._metrics.camera_reconnects.labels(self.name).inc()
            self._complain(event.text)
        elif event.kind is EventKind.NOTE:
            logger.warning("camera: %s", event.text, extra={"camera": self.name})
        elif event.kind is EventKind.DISCONNECTED:
            logger.warning("camera's stream: %s", event.text, extra={"camera": self.name})
        elif event.kind is EventKind.ACKNOWLEDGED:
            state.set(1)
            backoff.reset()
            self._trouble = ""
        self._count()

    def _complain(self, text: str) -> None:
        """Log a trouble once for each kind of it: a camera may be away for days."""
        trouble = text.partition("; next try")[0]
        level = logging.DEBUG if trouble == self._trouble else logging.WARNING
        logger.log(level, "camera: %s", text, extra={"camera": self.name})
        self._trouble = trouble

    def _count(self) -> None:
        if self._producer is None:
            return
        now, before, name = self._producer.stats, self._counted, self.name
        self._metrics.camera_frames.labels(name).inc(now.frames - before.frames)
        self._metrics.camera_bytes.labels(name).inc(now.bytes_sent - before.bytes_sent)
        self._metrics.camera_dropped.labels(name).inc(now.dropped - before.dropped)
        if now.clock_offset_seconds is not None:
            self._metrics.camera_clock_offset.labels(name).set(now.clock_offset_seconds)
        self._metrics.camera_clock_used.labels(name).set(now.uses_camera_clock)
        self._counted = ProducerStats(
            frames=now.frames, bytes_sent=now.bytes_sent, dropped=now.dropped
        )

    def _blocking(self, function: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._opener, function)
