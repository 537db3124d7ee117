"""``/console/api``: what the page is told beside the Rekognition API. It reads, and no more.

Requests are signed for ``rekognition``, and the rights are those of the AWS operations that tell
the same: who may describe a stream processor and read its video stream may see both here.

============================ ===================================================================
``settings``                 whether and for which region requests are signed (open)
``stream-processors``        all, as DescribeStreamProcessor tells them, with the last sighting
``live?name=``               the last analysed frame: a line of JSON, then the JPEG; or a state
``sightings?name=``          sightings of one or all stream processors, newest first
``sighting?name=&id=``       the picture of one, as JPEG
``video-streams``            streams and cameras, and whether video comes
``still?stream=``            the newest picture of a video stream, as JPEG
============================ ===================================================================
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from streamd import __version__
from streamd.access import Access
from streamd.api.convert import processor_to_wire
from streamd.clock import Clock
from streamd.config import Settings
from streamd.console.cameras import StateOf, stream_list
from streamd.console.door import Door
from streamd.console.looks import Looks
from streamd.console.stills import Stills
from streamd.lifecycle import Status
from streamd.pipeline.live_frames import LiveFrames
from streamd.pipeline.onlooker import key_of
from streamd.pipeline.picture_files import PictureFile
from streamd.pipeline.sightings import SightingFiles
from streamd.pipeline.source import stream_name_of
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import Identity
from streamd.resources import StreamProcessor, VideoStream
from streamd.store import Store

__all__ = ["Routes"]

MAX_LISTED: Final = 500
MAX_SIGHTINGS: Final = 200
_ENDED: Final = frozenset({Status.STOPPED, Status.FAILED})
_DENIED: Final = "AccessDeniedException"
_JPEG: Final = "image/jpeg"


class Routes:
    """The calls; what they need is given."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        run_blocking: Callable[..., Awaitable[Any]],
        frames: LiveFrames,
        sightings: SightingFiles,
        stills: Stills,
        state_of: StateOf,
        owns: Callable[[str], bool],
        looks: Looks,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._run = run_blocking
        self._frames = frames
        self._sightings = sightings
        self._stills = stills
        self._state_of = state_of
        self._owns = owns
        self._looks = looks
        self._clock = clock

    def add(self, app: web.Application, door: Door) -> None:
        """Serve the calls."""
        calls = {
            "settings": self._tell_settings,
            "stream-processors": self._list_processors,
            "live": self._show_live,
            "sightings": self._list_sightings,
            "sighting": self._show_sighting,
            "video-streams": self._list_streams,
            "still": self._show_still,
        }
        for name, call in calls.items():
            app.router.add_get(f"/console/api/{name}", door.handler(name, call))

    async def _tell_settings(self, request: web.Request, request_id: str) -> web.Response:
        del request, request_id
        return _json(
            {
                "AuthMode": self._settings.auth.mode,
                "Region": self._settings.aws.region,
                "Version": __version__,
                "KeepsSightings": self._sightings.limit > 0,
                "SightingHours": self._settings.console.sightings_hours,
            }
        )

    async def _list_processors(self, request: web.Request, request_id: str) -> web.Response:
        access = self._access("rekognition:ListStreamProcessors", request, request_id)
        access.authorize({}, refusal=_DENIED)
        processors = await self._processors(access.identity, after=request.query.get("after"))
        told = []
        for processor in processors[:MAX_LISTED]:
            if not self._may_describe(processor, request, request_id):
                told.append({"Name": processor.name, "Status": str(processor.status)})
                continue
            described = processor_to_wire(processor)
            if self._may_see(processor, request, request_id):
                latest = await self._run(self._latest, processor)
                described["LastSighting"] = latest
            told.append(described)
        more = len(processors) > MAX_LISTED
        return _json({"StreamProcessors": told, "After": told[-1]["Name"] if more else None})

    async def _show_live(self, request: web.Request, request_id: str) -> web.Response:
        processor = await self._seen(request, request_id)
        key = key_of(processor)
        if processor.status in _ENDED:
            return _json({"State": "NOT_RUNNING", "Status": str(processor.status)})
        if await self._run(self._frames.watch, key):
            self._looks.note("WatchStreamProcessor", processor.arn, request, request_id)
        frame: PictureFile | None = await self._run(self._frames.read, key)
        if frame is None:
            return _json(await self._why_none(processor))
        if str(frame.head.get("AnalyzedAt")) == request.query.get("after"):
            return _json({"State": "UNCHANGED"})
        return _framed(frame)

    async def _why_none(self, processor: StreamProcessor) -> dict[str, Any]:
        session = await self._run(self._store.session, processor.account_id, processor.name)
        owner = session.owner if session is not None else None
        if owner is not None and not self._owns(owner):
            # Its frames are on the other machine, and stay there.
            return {"State": "ELSEWHERE", "Owner": owner}
        return {"State": "WAITING", "StatusMessage": processor.status_message}

    async def _list_sightings(self, request: web.Request, request_id: str) -> web.Response:
        if "name" in request.query:
            processors = [await self._seen(request, request_id)]
        else:
            access = self._access("rekognition:ListStreamProcessors", request, request_id)
            access.authorize({}, refusal=_DENIED)
            processors = [
                processor
                for processor in await self._processors(access.identity)
                if self._may_see(processor, request, request_id)
            ]
        for processor in processors:
            self._looks.note("ListSightings", processor.arn, request, request_id)
        return _json({"Sightings": await self._run(self._sightings_of, processors)})

    async def _show_sighting(self, request: web.Request, request_id: str) -> web.Response:
        processor = await self._seen(request, request_id)
        sighting_id = _wanted(request, "id")
        jpeg = await self._run(self._sightings.picture, key_of(processor), sighting_id)
        if jpeg is None:
            raise ServiceError("ResourceNotFoundException", "The sighting is not kept any more.")
        return web.Response(body=jpeg, content_type=_JPEG)

    async def _list_streams(self, request: web.Request, request_id: str) -> web.Response:
        access = self._access("kinesisvideo:ListStreams", request, request_id)
        access.authorize({}, refusal=_DENIED)
        account_id = access.identity.account_id
        streams: list[VideoStream] = await self._run(
            lambda: self._store.list_video_streams(account_id, after=None, limit=MAX_LISTED)
        )
        is_own = account_id == self._settings.aws.account_id
        told = await stream_list(
            streams,
            self._settings.cameras if is_own else {},
            holders=await self._run(self._store.camera_holders),
            state_of=self._state_of,
            clock=self._clock,
        )
        return _json({"Streams": told})

    async def _show_still(self, request: web.Request, request_id: str) -> web.Response:
        name = _wanted(request, "stream")
        access = self._access("kinesisvideo:GetMedia", request, request_id)
        access.authorize({"StreamName": name}, refusal=_DENIED)
        account_id = access.identity.account_id
        stream = await self._run(lambda: self._store.video_stream(account_id, name=name))
        self._looks.note("GetStill", stream.arn, request, request_id)
        still = await self._stills.newest(stream)
        if still is None:
            raise ServiceError(
                "ResourceNotFoundException", "No picture of this video stream can be had here yet."
            )
        headers = {"x-streamd-server-timestamp": str(still.server_ms)}
        return web.Response(body=still.jpeg, content_type=_JPEG, headers=headers)

    async def _processors(
        self, identity: Identity, *, after: str | None = None
    ) -> list[StreamProcessor]:
        found: list[StreamProcessor] = await self._run(
            lambda: self._store.list_stream_processors(
                identity.account_id, after=after, limit=MAX_LISTED + 1
            )
        )
        return found

    async def _seen(self, request: web.Request, request_id: str) -> StreamProcessor:
        """Return the stream processor a request names, if its caller may see its video."""
        name = _wanted(request, "name")
        describe = self._access("rekognition:DescribeStreamProcessor", request, request_id)
        describe.authorize({"Name": name}, refusal=_DENIED)
        processor: StreamProcessor = await self._run(
            self._store.stream_processor, describe.identity.account_id, name
        )
        self._check_video(processor, request, request_id)
        return processor

    def _may_describe(
        self, processor: StreamProcessor, request: web.Request, request_id: str
    ) -> bool:
        access = self._access("rekognition:DescribeStreamProcessor", request, request_id)
        return _allowed(lambda: access.authorize({"Name": processor.name}, refusal=_DENIED))

    def _may_see(self, processor: StreamProcessor, request: web.Request, request_id: str) -> bool:
        return self._may_describe(processor, request, request_id) and _allowed(
            lambda: self._check_video(processor, request, request_id)
        )

    def _check_video(
        self, processor: StreamProcessor, request: web.Request, request_id: str
    ) -> None:
        stream = stream_name_of(processor.definition.input_arn)
        access = self._access("kinesisvideo:GetMedia", request, request_id)
        access.authorize({"StreamName": stream}, refusal=_DENIED)

    def _access(self, action: str, request: web.Request, request_id: str) -> Access:
        return Access(action, request, aws=self._settings.aws, request_id=request_id)

    def _latest(self, processor: StreamProcessor) -> dict[str, Any] | None:
        found = self._sightings.listed(key_of(processor), limit=1)
        return _sighting(processor, *found[0]) if found else None

    def _sightings_of(self, processors: list[StreamProcessor]) -> list[dict[str, Any]]:
        found = [
            _sighting(processor, sighting_id, head)
            for processor in processors
            for sighting_id, head in self._sightings.listed(key_of(processor), limit=MAX_SIGHTINGS)
        ]
        return sorted(found, key=lambda one: -float(one["StartedAt"]))[:MAX_SIGHTINGS]


def _sighting(
    processor: StreamProcessor, sighting_id: str, head: Mapping[str, Any]
) -> dict[str, Any]:
    return {"StreamProcessorName": processor.name, "Id": sighting_id, **head}


def _allowed(check: Callable[[], None]) -> bool:
    try:
        check()
    except ServiceError:
        return False
    return True


def _wanted(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise ServiceError("InvalidParameterException", f"The query needs {name}.")
    return value


def _framed(frame: PictureFile) -> web.Response:
    line = json.dumps(dict(frame.head)).encode() + b"\n"
    return web.Response(body=line + frame.jpeg, content_type="application/octet-stream")


def _json(document: Mapping[str, Any]) -> web.Response:
    return web.json_response(document, dumps=lambda value: json.dumps(value, default=_plain))


def _plain(value: object) -> object:
    # As the Rekognition API writes times.
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} is not said in JSON")
