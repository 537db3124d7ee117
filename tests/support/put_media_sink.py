"""A tiny Kinesis Video for producers under test: keeps what arrives, fails as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from streamd.kvs.acks import Acknowledgement, ErrorCode, EventType, to_line
from streamd.kvs.mkv import Block, ClusterStart, MkvParser, StreamHeader, Track

__all__ = ["PutMediaSink", "SunkFragment", "serving"]


@dataclass(kw_only=True)
class SunkFragment:
    """A fragment as it arrived."""

    connection: int
    tracks: tuple[Track, ...]
    timecode_ms: int
    blocks: list[Block] = field(default_factory=list)
    complete: bool = False


@dataclass(kw_only=True)
class PutMediaSink:
    """What arrived, and what shall go wrong."""

    retention_hours: int = 24
    streams: dict[str, int] = field(default_factory=dict)
    """Retention by stream name."""
    fragments: list[SunkFragment] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of every PutMedia request."""
    break_after: list[int] = field(default_factory=list)
    """The n-th connection is cut after this many complete fragments; then none is."""
    withhold_acks: bool = False
    """Connections that will be cut acknowledge nothing."""
    error: ErrorCode | None = None
    """Answered in place of the first acknowledgement."""
    refuse: tuple[int, str, str] | None = None
    """HTTP status, code and message of PutMedia."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a block arrives."""

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application()
        app.router.add_post("/createStream", self._create)
        app.router.add_post("/describeStream", self._describe)
        app.router.add_post("/getDataEndpoint", self._endpoint)
        app.router.add_post("/putMedia", self._put_media)
        return app

    def complete_fragments(self) -> list[SunkFragment]:
        """Return the fragments whose end arrived."""
        return [fragment for fragment in self.fragments if fragment.complete]

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.streams[body["StreamName"]] = body["DataRetentionInHours"]
        return web.json_response({"StreamARN": _arn(body["StreamName"])})

    async def _describe(self, request: web.Request) -> web.Response:
        name = (await request.json())["StreamName"]
        if name not in self.streams:
            return _error(404, "ResourceNotFoundException", f"The stream {name} is not found.")
        info = {
            "StreamName": name,
            "StreamARN": _arn(name),
            "DataRetentionInHours": self.streams[name],
        }
        return web.json_response({"StreamInfo": info})

    async def _endpoint(self, request: web.Request) -> web.Response:
        return web.json_response({"DataEndpoint": str(request.url.origin())})

    async def _put_media(self, request: web.Request) -> web.StreamResponse:
        connection = len(self.headers)
        self.headers.append(dict(request.headers))
        if self.refuse is not None:
            return _error(*self.refuse)
        response = web.StreamResponse()
        await response.prepare(request)
        limit = self.break_after[connection] if connection < len(self.break_after) else None
        parser, done = MkvParser(), 0
        tracks: tuple[Track, ...] = ()
        with contextlib.suppress(ConnectionError):
            async for data in request.content.iter_any():
                for event in parser.feed(data):
                    if isinstance(event, StreamHeader):
                        tracks = event.tracks
                    elif isinstance(event, ClusterStart):
                        done += await self._end(response, quiet=self.withhold_acks and limit)
                        if self.error is not None:
                            await response.write(to_line(Acknowledgement.error(self.error)))
                            return response
                        if limit is not None and done >= limit:
                            assert request.transport is not None
                            request.transport.abort()
                            return response
                        self._begin(connection, tracks, event.timecode)
                    elif isinstance(event, Block):
                        self.fragments[-1].blocks.append(event)
                        self.arrived.set()
            await self._end(response, quiet=None)
        return response

    def _begin(self, connection: int, tracks: tuple[Track, ...], timecode: int) -> None:
        fragment = SunkFragment(connection=connection, tracks=tracks, timecode_ms=timecode)
        self.fragments.append(fragment)

    async def _end(self, response: web.StreamResponse, *, quiet: object) -> int:
        if not self.fragments or self.fragments[-1].complete or not self.fragments[-1].blocks:
            return 0
        fragment = self.fragments[-1]
        fragment.complete = True
        kinds = [EventType.RECEIVED]
        if any(self.streams.values()):
            kinds.append(EventType.PERSISTED)
        for kind in [] if quiet else kinds:
            line = Acknowledgement(
                event_type=kind,
                fragment_timecode_ms=fragment.timecode_ms,
                fragment_number=f"{len(self.fragments):047d}",
            )
            await response.write(to_line(line))
        return 1


def _arn(name: str) -> str:
    return f"arn:aws:kinesisvideo:us-east-1:000000000000:stream/{name}/1700000000000"


def _error(status: int, code: str, message: str) -> web.Response:
    headers = {"x-amzn-ErrorType": code}
    return web.json_response({"Message": message}, status=status, headers=headers)


@contextlib.asynccontextmanager
async def serving(sink: PutMediaSink) -> AsyncIterator[str]:
    """Serve the sink on a free port; yields its URL."""
    server = TestServer(sink.app())
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
