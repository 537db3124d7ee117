"""A video endpoint in place of AWS's, and one call to it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from streamd.ingest.getmedia import KinesisVideoClient

__all__ = ["ARN", "FakeService", "read"]

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/front-door"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeService:
    """A video endpoint that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.media: Handler = self.bring
        self.endpoint_answer: Any = None

    async def note(self, request: web.Request) -> None:
        self.asked.append((request.path, json.loads(await request.read()), dict(request.headers)))

    async def endpoint(self, request: web.Request) -> web.Response:
        await self.note(request)
        url = str(request.url.origin()) + "/"
        return web.json_response(self.endpoint_answer or {"DataEndpoint": url})

    async def get_media(self, request: web.Request) -> web.StreamResponse:
        await self.note(request)
        return await self.media(request)

    async def bring(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Date": "Tue, 14 Nov 2023 22:13:20 GMT"})
        await response.prepare(request)
        await response.write(b"one")
        await response.write(b"two")
        return response


async def read(client: KinesisVideoClient, stream: str = ARN) -> bytes:
    """The whole body of one call from NOW."""
    async with client.get_media(stream, {"StartSelectorType": "NOW"}) as media:
        return b"".join([chunk async for chunk in media.chunks()])
