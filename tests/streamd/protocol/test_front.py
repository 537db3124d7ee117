"""Requests that reach no operation, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from streamd.protocol.front import name_server, refuse_unknown_paths


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """An application with one route."""

    async def served(request: web.Request) -> web.Response:
        if await request.text() == "teapot":
            raise web.HTTPConflict
        return web.Response(text="served")

    app = web.Application(middlewares=[refuse_unknown_paths])
    app.on_response_prepare.append(name_server)
    app.router.add_post("/", served)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("method", "path", "members"),
    [
        ("GET", "/", {"__type", "Code", "Logref", "Message"}),
        ("PUT", "/", {"__type", "Code", "Logref", "Message"}),
        ("POST", "/nowhere", {"Message"}),
        ("DELETE", "/createStream", {"Message"}),
    ],
)
async def test_what_has_no_route(url: str, method: str, path: str, members: set[str]) -> None:
    """A path or method of no operation is UnknownOperationException in the service's form."""
    async with aiohttp.ClientSession() as http, http.request(method, url + path) as answer:
        document = await answer.json(content_type=None)
        assert answer.status == 404
        assert answer.headers["x-amzn-ErrorType"] == "UnknownOperationException"
        assert answer.headers["Server"] == "streamd"
        assert set(document) == members
        assert document["Message"] == f"Unknown operation: {method} {path}"


async def test_what_has_a_route_passes(url: str) -> None:
    """Answers and other refusals of a route are its own, under the same server's name."""
    async with aiohttp.ClientSession() as http:
        async with http.post(url) as answer:
            assert (answer.status, await answer.text()) == (200, "served")
            assert answer.headers["Server"] == "streamd"
        async with http.post(url, data="teapot") as answer:
            assert answer.status == 409
