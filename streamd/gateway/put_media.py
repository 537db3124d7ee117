"""PutMedia: the request's headers, and which stream it may send to."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from aiohttp import web

from streamd.clock import Clock
from streamd.gateway.http import service_error, to_response
from streamd.gateway.live import LiveStream, LiveStreams
from streamd.gateway.upload import Upload, UploadParts
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.protocol.rest_json import RestJson
from streamd.resources import VideoStream

__all__ = ["PutMedia"]

logger = logging.getLogger(__name__)

STREAM_NAME: Final = "x-amzn-stream-name"
STREAM_ARN: Final = "x-amzn-stream-arn"
TIMECODE_TYPE: Final = "x-amzn-fragment-timecode-type"
START_TIMESTAMP: Final = "x-amzn-producer-start-timestamp"
_END_OF_TIME_SECONDS: Final = 253_402_300_800


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    """What the headers of a PutMedia request say."""

    stream: dict[str, str]
    """StreamName or StreamARN."""
    origin_ms: int
    """What timecodes are relative to; 0 for ABSOLUTE ones."""


class PutMedia:
    """The handler of ``POST /putMedia``."""

    def __init__(
        self,
        *,
        parts: UploadParts,
        live: LiveStreams,
        clock: Clock,
        metrics: Metrics,
        find: Callable[[dict[str, str]], Awaitable[VideoStream]],
        enter: Callable[[VideoStream], Awaitable[LiveStream]],
    ) -> None:
        self._parts = parts
        self._live = live
        self._clock = clock
        self._metrics = metrics
        self._find = find
        self._enter = enter
        self._service = RestJson("kinesis-video-media")
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; returns when the connection's upload is over."""
        request_id = str(uuid.uuid4())
        code = "OK"
        try:
            head = _read_head(request, now_ms=int(self._clock.epoch() * 1000))
            video_stream = await self._find(head.stream)
            upload = await self._begin(request, video_stream, head, request_id)
        except Exception as caught:  # noqa: BLE001  # the wall of one operation
            error = service_error(caught, self._service)
            code = error.code
            return to_response(self._service.error(error, request_id=request_id))
        finally:
            self._metrics.api_requests.labels("kinesisvideo", "PutMedia", code).inc()
        # A task of its own: when the producer goes away this handler is cancelled, and what
        # it sent must still reach the disk.
        task = asyncio.create_task(upload.run(), name=f"put-media-{video_stream.name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)
        return upload.response

    async def aclose(self) -> None:
        """End all uploads; returns when what they sent is archived."""
        self._is_closing = True
        for stream in self._live.all():
            if stream.upload is not None:
                stream.upload.interrupt(None)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _begin(
        self, request: web.Request, video_stream: VideoStream, head: _Head, request_id: str
    ) -> Upload:
        stream = await self._enter(video_stream)
        try:
            self._check_free(stream, video_stream.name)
            upload = Upload(
                request,
                video_stream,
                stream,
                parts=self._parts,
                origin_ms=head.origin_ms,
                request_id=request_id,
                leave=lambda: self._live.leave(stream),
            )
        except BaseException:
            self._live.leave(stream)
            raise
        stream.upload = upload
        return upload

    def _check_free(self, stream: LiveStream, name: str) -> None:
        if stream.upload is not None:
            raise ServiceError(
                "ConnectionLimitExceededException",
                f"The stream {name} has a PutMedia connection already.",
            )
        if stream.is_gone or self._is_closing:
            raise ServiceError("ServiceUnavailable", "The stream is going away.")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("upload broke", exc_info=error)


def _read_head(request: web.Request, *, now_ms: int) -> _Head:
    """Check the headers of a PutMedia request.

    Raises:
        ServiceError: ``InvalidArgumentException``.

    """
    name, arn = request.headers.get(STREAM_NAME), request.headers.get(STREAM_ARN)
    if (not name) == (not arn):
        raise _invalid(f"Exactly one of {STREAM_NAME} and {STREAM_ARN} must be specified.")
    kind = request.headers.get(TIMECODE_TYPE, "")
    if kind not in ("ABSOLUTE", "RELATIVE"):
        raise _invalid(f"{TIMECODE_TYPE} must be ABSOLUTE or RELATIVE.")
    start_ms = _start_ms(request.headers.get(START_TIMESTAMP))
    # A RELATIVE session without a start is taken to begin now.
    begins_ms = now_ms if start_ms is None else start_ms
    origin_ms = 0 if kind == "ABSOLUTE" else begins_ms
    stream = {"StreamName": name} if name else {"StreamARN": arn or ""}
    return _Head(stream=stream, origin_ms=origin_ms)


def _start_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        # Not a float: milliseconds must survive. Java's producer sends "1.7000000001E9".
        seconds = Decimal(text.strip())
        if not 0 <= seconds < _END_OF_TIME_SECONDS:
            raise _invalid(f"{START_TIMESTAMP} is out of range.")
    except InvalidOperation:
        raise _invalid(f"{START_TIMESTAMP} is not a number of seconds.") from None
    return int(seconds * 1000)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
