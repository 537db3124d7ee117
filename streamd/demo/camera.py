"""The camera of the demo: ``streamd put-media``'s producer on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from streamd.demo.errors import DemoError
from streamd.producer import (
    KinesisVideoControl,
    Producer,
    ProducerError,
    ProducerOptions,
    ProducerStats,
    PyavSource,
)

__all__ = ["DemoCamera"]


class DemoCamera:
    """Sends a source in real time while the story watches; a context manager.

    Raises:
        SourceError: If the source cannot be opened.

    """

    def __init__(self, source: str, stream: str, endpoint: str, *, max_seconds: float) -> None:
        self._source = PyavSource(source)
        length = self._source.duration_seconds
        self.seconds = max_seconds if length is None else min(length, max_seconds)
        """How much video will be sent at most."""
        self.stats = ProducerStats()
        self._endpoint = endpoint
        self._stream = stream
        self._url = source
        self._max_seconds = max_seconds
        self._failure: BaseException | None = None
        self._producer: Producer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        # A daemon thread: a camera that hangs must not keep the demo from ending.
        self._thread = threading.Thread(target=self._run, name="demo-camera", daemon=True)

    def __enter__(self) -> DemoCamera:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._producer is not None and self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._producer.stop)
        self._thread.join(timeout=10)

    @property
    def is_over(self) -> bool:
        """Whether everything was sent, or sending failed."""
        return not self._thread.is_alive()

    @property
    def end_epoch(self) -> float | None:
        """Producer time at which the video ended, seconds since 1970."""
        if self.stats.first_timecode_ms is None:
            return None
        return self.stats.first_timecode_ms / 1000 + self.stats.media_seconds

    def check(self) -> None:
        """Raise what ended the sending early.

        Raises:
            DemoError: If the source or the stream failed.

        """
        if isinstance(self._failure, ProducerError):
            raise DemoError(
                f"the video could not be sent: {self._failure}", hint=self._failure.hint
            ) from self._failure
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 - the wall of this thread; check() raises it
            self._failure = error
        finally:
            self._started.set()

    async def _send(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Blocks this thread's own loop before there is anything on it.
        control = KinesisVideoControl(self._endpoint, region="us-east-1")
        info = control.ensure_stream(self._stream, retention_hours=1)
        self._producer = Producer(
            control=control,
            stream=info,
            source=self._source,
            reopen=self._no_second_time,
            options=ProducerOptions(max_seconds=self._max_seconds, give_up_seconds=15.0),
        )
        self.stats = self._producer.stats
        self._started.set()
        await self._producer.run()

    def _no_second_time(self) -> PyavSource:
        return PyavSource(self._url)
