"""The embedded Kinesis Video: its parts put together, started and ended in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from streamd.clock import Clock
from streamd.config import AwsSettings, KinesisVideoSettings, S3Settings
from streamd.gateway.archived import ArchivedMedia
from streamd.gateway.control import Control, find_stream
from streamd.gateway.door import ArchiveDoor, RunBlocking
from streamd.gateway.get_media import GetMedia
from streamd.gateway.homes import Homes, Membership
from streamd.gateway.http import Call, Endpoint
from streamd.gateway.limits import CallRate
from streamd.gateway.live import LiveStream, LiveStreams
from streamd.gateway.moments import Moments
from streamd.gateway.open_archive import open_archive
from streamd.gateway.put_media import PutMedia
from streamd.gateway.retention import Janitor, retention_of
from streamd.gateway.upload import UploadParts
from streamd.gateway.view import GatewayView
from streamd.kvs.acks import ErrorCode
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.protocol.rest_json import RestJson
from streamd.protocol.service import Operation
from streamd.resources import VideoStream
from streamd.store import Store

__all__ = ["Gateway"]

logger = logging.getLogger(__name__)

_SERVICES: Final = ("kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media")
_LISTED_AT_ONCE: Final = 1000


class Gateway:
    """Serves Kinesis Video on the routes it adds to an application.

    It is the only one to use its data directory and to change video streams in the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        settings: KinesisVideoSettings,
        data_dir: Path,
        aws: AwsSettings,
        clock: Clock,
        metrics: Metrics,
        run_blocking: RunBlocking,
        membership: Membership | None = None,
        s3: S3Settings | None = None,
        public_url: str | None = None,
        idle_ack_seconds: float = 5.0,
        idle_close_seconds: float = 30.0,
    ) -> None:
        """Put the parts together; nothing is opened before :meth:`start`.

        Args:
            store: Holds the video streams and their tags.
            settings: Of the embedded endpoint.
            data_dir: For the archive alone.
            aws: Region and account of the streams' ARNs.
            clock: Gives server timestamps.
            metrics: To count in.
            run_blocking: Awaits a blocking call in an executor made for the gateway.
            membership: Among replicas that share the store; ``None``: there can be no other.
            s3: How S3 is reached, for an archive there.
            public_url: For GetDataEndpoint; ``None``: the URL the client called.
            idle_ack_seconds: How often PutMedia says IDLE while nothing arrives.
            idle_close_seconds: When PutMedia ends a connection on which nothing arrives.

        """
        self._store = store
        self._settings = settings
        self._data_dir = data_dir
        self._aws = aws
        self._clock = clock
        self._metrics = metrics
        self._run_blocking = run_blocking
        self._homes = Homes(
            store=store,
            run_blocking=run_blocking,
            metrics=metrics,
            membership=membership,
            is_archive_shared=settings.archive == "s3",
        )
        self._s3 = s3 or S3Settings()
        self._public_url = public_url
        self._idle_ack_seconds = idle_ack_seconds
        self._idle_close_seconds = idle_close_seconds
        self._live = LiveStreams()
        # Set by start().
        self._door: ArchiveDoor | None = None
        self._put_media: PutMedia | None = None
        self._calls: dict[str, Call] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        """Serve every path of the three services, and end in order when the application does."""
        app.router.add_post("/putMedia", self._handle_put_media)
        for name in _SERVICES:
            service = RestJson(name)
            for operation in service.service.operations.values():
                endpoint = Endpoint(
                    service,
                    operation,
                    partial(self._call, operation),
                    metrics=self._metrics,
                    aws=self._aws,
                )
                app.router.add_post(operation.path, endpoint.handle)
        app.on_shutdown.append(self._end_connections)

    async def start(self) -> None:
        """Open the archive and make good what a kill left behind.

        Raises:
            ArchiveError: If the data directory cannot be used.

        """
        archive = await self._run_blocking(
            lambda: open_archive(
                self._data_dir,
                settings=self._settings,
                s3=self._s3,
                region=self._aws.region,
                clock=self._clock,
                metrics=self._metrics,
                is_shared=self._store.is_shared,
            )
        )
        door = self._door = ArchiveDoor(archive, self._run_blocking)
        await door.call(archive.recover)
        await self._give_homes(door)
        janitor = Janitor(
            door=door,
            settings=self._settings,
            metrics=self._metrics,
            streams=self._all_streams,
            clock=self._clock,
            unread=partial(self._run_blocking, self._store.unread_positions),
        )
        find_to_send, find = partial(self._find, sends=True), partial(self._find, sends=False)
        enter = self._enter
        calls = CallRate(self._settings.max_calls_per_second, monotonic=self._clock.monotonic)
        self._put_media = PutMedia(
            parts=UploadParts(
                door=door,
                clock=self._clock,
                metrics=self._metrics,
                retention=lambda hours: retention_of(hours, self._settings),
                on_written=janitor.note_written,
                settings=self._settings,
                moments=Moments(gather) if (gather := self._settings.gather_seconds) else None,
                may_promise=self._homes.is_surely_here,
                idle_ack_seconds=self._idle_ack_seconds,
                idle_close_seconds=self._idle_close_seconds,
            ),
            live=self._live,
            clock=self._clock,
            metrics=self._metrics,
            find=find_to_send,
            enter=enter,
            calls=calls,
            aws=self._aws,
        )
        control = Control(
            store=self._store,
            aws=self._aws,
            clock=self._clock,
            run_blocking=self._run_blocking,
            live=self._live,
            calls=calls,
            homes=self._homes,
            public_url=self._public_url,
            on_deleted=self._deleted,
        )
        get_media = GetMedia(
            door=door,
            live=self._live,
            metrics=self._metrics,
            settings=self._settings,
            calls=calls,
            find=find,
            enter=enter,
        )
        archived = ArchivedMedia(
            door=door, metrics=self._metrics, settings=self._settings, calls=calls, find=find
        )
        self._calls = {
            **control.operations,
            "GetMedia": get_media.call,
            **archived.operations,
        }
        self._sweeping = asyncio.create_task(janitor.run(), name="archive-janitor")

    async def aclose(self) -> None:
        """End every connection, keep what has arrived, close the archive; may be called twice."""
        # 1. No sweep in the middle of closing.
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
            await asyncio.wait([sweeping])
        # 2. Producers: what they sent so far becomes fragments, archived. 3. Consumers: they
        # have those fragments or find them at their next call.
        await self._end_connections(None)
        # 4. The files.
        door, self._door = self._door, None
        if door is not None:
            await door.close()

    async def _end_connections(self, _app: web.Application | None) -> None:
        if self._put_media is not None:
            await self._put_media.aclose()
        for stream in self._live.all():
            stream.shut()

    async def _handle_put_media(self, request: web.Request) -> web.StreamResponse:
        assert self._put_media is not None, "start() comes before the first request"
        return await self._put_media.handle(request)

    async def _call(
        self, operation: Operation, request: web.Request, values: Mapping[str, Any], request_id: str
    ) -> Mapping[str, Any] | web.StreamResponse:
        call = self._calls.get(operation.name)
        if call is None:
            raise ServiceError(
                "UnknownOperationException", f"{operation.name} is not served by streamd yet."
            )
        return await call(request, values, request_id)

    @property
    def view(self) -> GatewayView:
        """What people are shown of streams; there is none before :meth:`start`."""
        assert self._door is not None, "start() comes first"
        return GatewayView(door=self._door, live=self._live, homes=self._homes)

    async def look_after_homes(self) -> None:
        """End what is live of streams that were deleted, or adopted by another replica.

        Raises:
            StoreError: If the store does not answer.

        """
        live = {stream.arn: stream for stream in self._live.all()}
        if not live:
            return
        found = await self._run_blocking(self._store.video_streams_by_arn, list(live))
        for arn, stream in live.items():
            video_stream = found.get(arn)
            if video_stream is not None and self._homes.is_here(video_stream):
                stream.retention_hours = video_stream.data_retention_hours
                continue
            # In this order: what ends now is not promised to its producer.
            stream.is_elsewhere = True
            if stream.upload is not None:
                stream.upload.interrupt(ErrorCode.STREAM_DELETED if video_stream is None else None)
            stream.shut()
            if video_stream is not None:
                logger.warning(
                    "stream left to another replica, which was asked for it while this one "
                    "was not seen",
                    extra={"stream": video_stream.name, "home": video_stream.home},
                )

    async def _give_homes(self, door: ArchiveDoor) -> None:
        """Be the home of what is archived here from before streams had homes."""
        home = self._homes.own_id
        if home is not None and (arns := await door.call(door.archive.stream_arns)):
            await self._run_blocking(lambda: self._store.give_home(arns, home=home))

    async def _find(
        self, request: web.Request, values: Mapping[str, Any], *, sends: bool
    ) -> VideoStream:
        """Return the stream a request names, if its fragments are to be found here."""
        stream = await find_stream(self._store, self._run_blocking, self._aws, request, values)
        return await self._homes.check_here(stream, sends=sends)

    async def _enter(self, video_stream: VideoStream) -> LiveStream:
        """Return the live side of a stream; a connection's end leaves it again."""
        door = self._door
        if door is None:
            raise ServiceError("ServiceUnavailable", "The service is stopping.")
        archive, arn = door.archive, video_stream.arn
        stream_id = await door.call(archive.stream_id, arn)
        if self._live.get(arn) is None:
            is_new = self._homes.is_new_here(arn)
            await door.read(lambda: archive.refresh(stream_id, is_new=is_new))
            self._homes.note_known(arn)
        newest = await door.call(archive.newest, stream_id)
        stream = self._live.enter(
            arn,
            lambda: LiveStream(
                arn,
                stream_id=stream_id,
                newest=newest.number if newest is not None else None,
                newest_ms=newest.server_ms if newest is not None else 0,
                retention_hours=video_stream.data_retention_hours,
            ),
        )
        stream.learn(newest)
        try:
            # It may have been deleted meanwhile, by somebody who did not find it in use.
            found = await self._run_blocking(
                lambda: self._store.video_stream(video_stream.account_id, arn=arn)
            )
            stream.retention_hours = found.data_retention_hours
        except BaseException:
            self._live.leave(stream)
            raise
        return stream

    async def _deleted(self, video_stream: VideoStream) -> None:
        """End everything of a stream that is no longer in the store."""
        live = self._live.get(video_stream.arn)
        if live is not None:
            if (upload := live.upload) is not None:
                upload.interrupt(ErrorCode.STREAM_DELETED)
                await upload.wait_closed()
            live.shut()
        if self._door is not None:
            await self._door.call(self._door.archive.remove_stream, video_stream.arn)

    async def _all_streams(self) -> list[VideoStream]:
        found: list[VideoStream] = []
        while True:
            after = found[-1].arn if found else None
            page = await self._run_blocking(
                lambda after=after: self._store.all_video_streams(
                    after=after, limit=_LISTED_AT_ONCE
                )
            )
            found.extend(page)
            if len(page) < _LISTED_AT_ONCE:
                return found
