"""One producer's connection: bytes in, acknowledgements out, both at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from streamd.clock import Clock
from streamd.config import KinesisVideoSettings
from streamd.gateway.acks import AckChannel
from streamd.gateway.archive import Retention
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError, MediaFaultError
from streamd.gateway.fragmenter import (
    Closed,
    Fragmenter,
    Opened,
    Part,
    Step,
)
from streamd.gateway.http import endless_response
from streamd.gateway.limits import Pace
from streamd.gateway.live import LiveFragment, LiveStream
from streamd.gateway.moments import Moments, Place
from streamd.gateway.recorder import Recorder
from streamd.gateway.upload_body import Ending, StoppedError, UploadBody
from streamd.kvs.acks import Acknowledgement, ErrorCode, EventType
from streamd.metrics import Metrics
from streamd.resources import VideoStream

__all__ = ["Upload", "UploadParts"]

logger = logging.getLogger(__name__)

GATHERED_BYTES: Final = 64 * 1024
"""Who sends this much at a time is no live camera's frame: it is read on at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadParts:
    """What every upload of a gateway needs."""

    door: ArchiveDoor
    clock: Clock
    metrics: Metrics
    retention: Callable[[int], Retention]
    """Of a stream with so many hours of data retention."""
    on_written: Callable[[int], None]
    settings: KinesisVideoSettings
    moments: Moments | None
    """At which live producers are read on; ``None``: as they send."""
    may_promise: Callable[[LiveStream], bool]
    """Whether a producer may forget what is archived here."""
    idle_ack_seconds: float = 5.0
    """An IDLE is sent this often while nothing arrives."""
    idle_close_seconds: float = 30.0
    """PutMedia closes an idle connection after this time (API reference)."""


class Upload:
    """See the module. Made by the handler, then :meth:`run` in a task of its own."""

    def __init__(
        self,
        request: web.Request,
        video_stream: VideoStream,
        stream: LiveStream,
        *,
        parts: UploadParts,
        origin_ms: int,
        request_id: str,
        leave: Callable[[], None],
    ) -> None:
        self.response = endless_response(
            request, content_type="application/json", request_id=request_id
        )
        self._request = request
        self._name = video_stream.name
        self._stream = stream
        self._parts = parts
        self._leave = leave
        limits = parts.settings
        self._fragmenter = Fragmenter(
            origin_ms=origin_ms,
            max_fragment_ms=round(limits.max_fragment_seconds * 1000),
            min_fragment_ms=round((limits.min_fragment_seconds or 0) * 1000),
        )
        self._byte_pace = Pace(limits.max_put_media_bytes_per_second)
        self._fragment_pace = Pace(limits.max_fragments_per_second)
        self._fragment: LiveFragment | None = None
        self._acks: AckChannel | None = None  # from the response's first byte on
        self._closed = asyncio.Event()
        self._is_interrupted = False
        self._interruption: ErrorCode | None = None
        self._has_reported = False
        self._ends_at = asyncio.get_running_loop().time() + limits.max_connection_seconds
        self._body = UploadBody(
            request,
            on_idle=lambda: self._ack(Acknowledgement(event_type=EventType.IDLE)),
            idle_ack_seconds=parts.idle_ack_seconds,
            idle_close_seconds=parts.idle_close_seconds,
            # After its time is up a connection ends with its fragment, which may be this long.
            ends_at=self._ends_at + limits.max_fragment_seconds,
        )
        self._place: Place | None = None
        """Among the moments to read at; ``None``: read at once."""
        self._recorder = Recorder(
            door=parts.door,
            stream=stream,
            retention=lambda: parts.retention(stream.retention_hours),
            on_persisted=self._persisted,
            on_failed=self._not_archived,
            on_written=parts.on_written,
        )

    def interrupt(self, code: ErrorCode | None) -> None:
        """See ``live.Upload``."""
        if not self._is_interrupted:
            self._is_interrupted, self._interruption = True, code
        self._body.interrupt()

    async def wait_closed(self) -> None:
        """See ``live.Upload``."""
        await self._closed.wait()

    async def run(self) -> None:
        """Serve the connection to its end."""
        metrics = self._parts.metrics
        metrics.put_media_connections.inc()
        ending = Ending.INTERRUPTED
        logger.info("producer connected", extra={"stream": self._name})
        if self._parts.moments is not None:
            self._place = self._parts.moments.take_place()
        try:
            ending = await self._serve()
        finally:
            # What is still open now, an exception of ours has left open.
            self._fail_open_fragment()
            self._body.close()
            if self._place is not None:
                self._place.leave()
            self._stream.upload = None
            self._stream.upload_ended_at = asyncio.get_running_loop().time()
            self._stream.wake()
            self._leave()
            self._closed.set()
            metrics.put_media_connections.dec()
            metrics.put_media_ended.labels(ending.value).inc()
            logger.info(
                "producer left",
                extra={
                    "stream": self._name,
                    "reason": ending.value,
                    "fragments": self._fragmenter.fragments,
                },
            )

    async def _serve(self) -> Ending:
        try:
            await self.response.prepare(self._request)
        except ConnectionError:
            await self._recorder.finish()
            return Ending.DISCONNECTED
        acks = self._acks = AckChannel(self.response, lambda: self._parts.may_promise(self._stream))
        ending = Ending.REFUSED
        try:
            try:
                await self._receive()
                ending = Ending.FINISHED
            except StoppedError as stopped:
                ending = stopped.ending
            self._conclude(ending)
        except MediaFaultError as fault:
            if ending is not Ending.UNREADABLE:
                ending = Ending.REFUSED
            self._refuse(fault)
        except Exception:
            # The wall of one upload: the other streams go on.
            ending = Ending.BROKEN
            logger.exception("upload broke", extra={"stream": self._name})
            self._refuse(MediaFaultError(ErrorCode.INTERNAL_ERROR, "a fault of the daemon"))
        # From here on nothing is open, so the recorder comes to an end; then the last
        # PERSISTED is on its way, and the response may end behind it.
        self._recorder.poke()
        await self._recorder.finish()
        if self._stream.is_elsewhere:
            acks.forsake()
        await acks.close()
        return ending

    async def _receive(self) -> None:
        """Take the body to its end.

        Raises:
            MediaFaultError: If the media breaks a rule.
            StoppedError: If it stops for another reason.

        """
        while data := await self._body.read():
            before = self._fragmenter.fragments
            for step in self._fragmenter.feed(data):
                self._take(step)
            self._stream.wake()
            self._recorder.poke()
            await self._recorder.room()
            await self._byte_pace.spend(len(data))
            await self._fragment_pace.spend(self._fragmenter.fragments - before)
            if len(data) < GATHERED_BYTES and self._place is not None:
                self._body.gather(self._place)

    def _take(self, step: Step) -> None:
        match step:
            case Part():
                assert self._fragment is not None, "parts follow the beginning of a fragment"
                self._fragment.add(step.raw)
            case Opened():
                self._open(step)
            case Closed():
                self._close(step)

    def _open(self, opened: Opened) -> None:
        if asyncio.get_running_loop().time() >= self._ends_at:
            raise MediaFaultError(
                ErrorCode.MAX_CONNECTION_DURATION_REACHED, "the connection's time is up"
            )
        if self._stream.is_gone:
            raise MediaFaultError(ErrorCode.STREAM_NOT_ACTIVE, "the stream is going away")
        fragment = self._fragment = self._stream.begin(opened, server_ms=self._now_ms())
        self._recorder.add(fragment)
        self._ack_of(EventType.BUFFERING, fragment)

    def _close(self, closed: Closed) -> None:
        fragment, self._fragment = self._fragment, None
        assert fragment is not None, "only an open fragment is closed"
        self._stream.complete(
            fragment,
            server_end_ms=max(fragment.server_ms, self._now_ms()),
            length_ms=closed.length_ms,
            patch=closed.patch,
        )
        self._recorder.poke()
        self._parts.metrics.fragments_received.labels(self._name).inc()
        if closed.is_cut:
            self._parts.metrics.fragments_cut_short.inc()
            logger.warning(
                "a fragment was cut short; its whole blocks are kept",
                extra={"stream": self._name, "fragment": fragment.number},
            )
        self._ack_of(EventType.RECEIVED, fragment)

    def _conclude(self, ending: Ending) -> None:
        """Close what is open, as the ending demands."""
        if ending is Ending.INTERRUPTED and self._interruption is not None:
            raise MediaFaultError(self._interruption, "ended by the service")
        cut = ending is not Ending.FINISHED
        try:
            for step in self._fragmenter.end(cut=cut):
                self._take(step)
        except MediaFaultError:
            if not cut:
                raise
            self._fail_open_fragment()  # nothing whole was in it
        if ending is Ending.UNREADABLE:
            raise MediaFaultError(ErrorCode.STREAM_READ_ERROR, "the request's chunks make no sense")
        if ending is Ending.OUT_OF_TIME:
            raise MediaFaultError(
                ErrorCode.MAX_CONNECTION_DURATION_REACHED, "the connection's time is up"
            )

    def _refuse(self, fault: MediaFaultError) -> None:
        fragment = self._fragment
        logger.warning(
            "media refused",
            extra={"stream": self._name, "error_code": fault.code.name, "detail": fault.detail},
        )
        self._fail_open_fragment()
        self._report(fault.code, fragment)

    def _report(self, code: ErrorCode, fragment: LiveFragment | None) -> None:
        """Count an error and tell the producer; of the session where no fragment is given."""
        if fragment is None:
            if self._has_reported:
                return  # the session ends because of what was reported
            error = Acknowledgement.error(code)
        else:
            error = Acknowledgement.error(
                code, fragment_timecode_ms=fragment.timecode_ms, fragment_number=fragment.number
            )
        self._has_reported = True
        self._parts.metrics.fragments_rejected.labels(code.name).inc()
        self._ack(error)

    def _fail_open_fragment(self) -> None:
        fragment, self._fragment = self._fragment, None
        if fragment is not None:
            self._stream.fail(fragment)
            self._recorder.poke()

    def _persisted(self, fragment: LiveFragment) -> None:
        if self._stream.retention_hours:
            self._ack_of(EventType.PERSISTED, fragment)

    def _not_archived(self, fragment: LiveFragment, error: ArchiveError) -> None:
        del error  # logged where it came from
        if fragment is not self._fragment:  # else the interruption reports it
            self._report(ErrorCode.ARCHIVAL_ERROR, fragment)
        self.interrupt(ErrorCode.ARCHIVAL_ERROR)

    def _ack_of(self, event_type: EventType, fragment: LiveFragment) -> None:
        self._ack(
            Acknowledgement(
                event_type=event_type,
                fragment_timecode_ms=fragment.timecode_ms,
                fragment_number=fragment.number,
            )
        )

    def _ack(self, acknowledgement: Acknowledgement) -> None:
        if self._acks is not None:
            self._acks.put(acknowledgement)

    def _now_ms(self) -> int:
        return int(self._parts.clock.epoch() * 1000)
