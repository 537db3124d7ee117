"""What stands before AWS in tests: STS, Kinesis Video and the rest behind one URL that has moods.

Video comes from a daemon's embedded Kinesis Video, everything else from moto. The front knows
which keys STS gave, refuses all others where it matters, and can throttle, expire and cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

__all__ = ["AwsFront", "aws_front"]

_ACCESS_KEY = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/")
_HOP = {"connection", "content-length", "host", "transfer-encoding", "content-encoding", "date"}
_DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"""


class AwsFront:
    """One server; its attributes may be changed from the test's thread."""

    def __init__(self, *, video_url: str, other_url: str) -> None:
        self.url = ""  # set when it serves
        self.calls: Counter[str] = Counter()
        """What was asked: ``AssumeRole``, ``getDataEndpoint``, ``getMedia``, …"""
        self.roles: set[str] = set()
        """ARNs that were assumed."""
        self.used: dict[str, set[str]] = {}
        """Service to the access keys its calls were signed with."""
        self.sts_error: tuple[int, str] | None = None
        """Status and code of every answer to AssumeRole."""
        self.throttled: Counter[str] = Counter()
        """How many of the next calls of a kind are refused as too many."""
        self.cut_after_seconds: float | None = None
        """GetMedia answers end after so long, every other one in the middle of its bytes."""
        self._video_url = video_url
        self._other_url = other_url
        self._tokens: dict[str, str] = {}
        self._expired: set[str] = set()
        self._cuts = 0

    def expire_keys(self) -> None:
        """Let every key that STS gave so far be too old from now on."""
        self._expired |= self._tokens.keys()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or pass it on."""
        body = await request.read()
        key, service = self._signed_by(request)
        self.used.setdefault(service, set()).add(key)
        form = parse_qs(body.decode(errors="replace")) if service == "sts" else {}
        kind = request.path.strip("/") or form.get("Action", [""])[0]
        kind = kind or request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.calls[kind] += 1
        if kind == "AssumeRole":
            return await self._assume_role(request, body, form["RoleArn"][0])
        if (refusal := self._refusal(request, kind, key)) is not None:
            return refusal
        if kind == "getMedia":
            return await self._media(request, body)
        if kind == "getDataEndpoint":
            return web.json_response({"DataEndpoint": self.url})
        return await self._pass_on(request, body, self._other_url)

    def _signed_by(self, request: web.Request) -> tuple[str, str]:
        found = _ACCESS_KEY.search(request.headers.get("Authorization", ""))
        return (found.group(1), found.group(2)) if found else ("", "")

    def _refusal(self, request: web.Request, kind: str, key: str) -> web.Response | None:
        if self._tokens.get(key) != request.headers.get("X-Amz-Security-Token", "-"):
            return _error(403, "UnrecognizedClientException", "not a key that STS gave")
        if key in self._expired:
            return _error(403, "ExpiredTokenException", "The security token is expired")
        if self.throttled[kind] > 0:
            self.throttled[kind] -= 1
            code = "ProvisionedThroughputExceededException"
            if kind.startswith("get"):
                code = "ClientLimitExceededException"
            return _error(400, code, "Rate exceeded")
        return None

    async def _assume_role(
        self, request: web.Request, body: bytes, role_arn: str
    ) -> web.StreamResponse:
        if self.sts_error is not None:
            status, code = self.sts_error
            text = _DENIED.format(code=code, text=f"not authorized to assume {role_arn}")
            return web.Response(status=status, text=text, content_type="text/xml")
        answer = await self._pass_on(request, body, self._other_url)
        assert isinstance(answer.body, bytes)
        text = answer.body.decode()
        (key,) = re.findall("<AccessKeyId>(.*?)</AccessKeyId>", text)
        (token,) = re.findall("<SessionToken>(.*?)</SessionToken>", text)
        self._tokens[key] = token
        self.roles.add(role_arn)
        return answer

    async def _pass_on(self, request: web.Request, body: bytes, url: str) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        async with (
            aiohttp.ClientSession() as http,
            http.request(request.method, url + request.path_qs, data=body, headers=headers) as it,
        ):
            kept = {k: v for k, v in it.headers.items() if k.lower() not in _HOP}
            return web.Response(status=it.status, body=await it.read(), headers=kept)

    async def _media(self, request: web.Request, body: bytes) -> web.StreamResponse:
        ends_at = time.monotonic() + (self.cut_after_seconds or 3600)
        async with (
            aiohttp.ClientSession() as http,
            http.post(self._video_url + "/getMedia", data=body) as video,
        ):
            answer = web.StreamResponse(headers={"Content-Type": "video/webm"})
            await answer.prepare(request)
            async for chunk in video.content.iter_chunked(1024):
                await answer.write(chunk)
                if time.monotonic() > ends_at:
                    break
        if time.monotonic() > ends_at:
            self._cuts += 1
            if self._cuts % 2 and request.transport is not None:
                request.transport.abort()
        return answer


def _error(status: int, code: str, text: str) -> web.Response:
    document: dict[str, Any] = {"__type": code, "message": text}
    return web.json_response(document, status=status, headers={"x-amzn-ErrorType": code})


@contextlib.contextmanager
def aws_front(*, video_url: str, other_url: str) -> Iterator[AwsFront]:
    """Serve on a free port of the loopback, in a thread of its own."""
    front = AwsFront(video_url=video_url, other_url=other_url)
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        stop.append(partial(loop.call_soon_threadsafe, done.set))
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", front.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="aws-front")
    thread.start()
    try:
        assert ready.wait(10)
        yield front
    finally:
        stop[0]()
        thread.join(10)
