"""PutMedia: which stream a producer may send to, and its upload's task."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from streamd.access import CLIENT_GONE, OK, Access
from streamd.clock import Clock
from streamd.config import AwsSettings
from streamd.gateway.http import refusal_code, service_error, to_response
from streamd.gateway.limits import CallRate
from streamd.gateway.live import LiveStream, LiveStreams
from streamd.gateway.put_media_head import PutMediaHead, read_head
from streamd.gateway.upload import Upload, UploadParts
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.protocol.rest_json import RestJson
from streamd.resources import VideoStream
from streamd.store import NotFoundError

__all__ = ["PutMedia"]

logger = logging.getLogger(__name__)


class PutMedia:
    """The handler of ``POST /putMedia``."""

    def __init__(
        self,
        *,
        parts: UploadParts,
        live: LiveStreams,
        clock: Clock,
        metrics: Metrics,
        find: Callable[[web.Request, Mapping[str, Any]], Awaitable[VideoStream]],
        enter: Callable[[VideoStream], Awaitable[LiveStream]],
        calls: CallRate,
        aws: AwsSettings,
    ) -> None:
        self._parts = parts
        self._live = live
        self._clock = clock
        self._metrics = metrics
        self._find = find
        self._enter = enter
        self._calls = calls
        self._aws = aws
        self._service = RestJson("kinesis-video-media")
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; returns when the connection's upload is over."""
        request_id = str(uuid.uuid4())
        code = OK
        access = Access("kinesisvideo:PutMedia", request, aws=self._aws, request_id=request_id)
        try:
            head = read_head(request.headers, now_ms=int(self._clock.epoch() * 1000))
            access.authorize(head.stream, refusal=refusal_code(None))
            video_stream = await self._find(request, head.stream)
            self._calls.check("PutMedia", video_stream.arn)
            upload = await self._begin(request, video_stream, head, request_id)
        except asyncio.CancelledError:
            code = CLIENT_GONE
            raise
        except Exception as caught:  # noqa: BLE001  # the wall of one operation
            error = service_error(caught, self._service)
            code = error.code
            return to_response(self._service.error(error, request_id=request_id))
        finally:
            self._metrics.api_requests.labels("kinesisvideo", "PutMedia", code).inc()
            access.note(code)
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
        self, request: web.Request, video_stream: VideoStream, head: PutMediaHead, request_id: str
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
        if self._is_closing:
            raise ServiceError("ServiceUnavailable", "The service is stopping.")
        if stream.is_gone:
            raise NotFoundError("video stream", name)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("upload broke", exc_info=error)
