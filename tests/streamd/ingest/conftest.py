"""A video endpoint that runs, and an HTTP session to ask it with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.video_service import FakeService


@pytest.fixture
async def service() -> AsyncIterator[tuple[FakeService, str]]:
    """A running service and its URL."""
    fake = FakeService()
    app = web.Application()
    app.router.add_post("/getDataEndpoint", fake.endpoint)
    app.router.add_post("/getMedia", fake.get_media)
    async with TestServer(app) as server:
        yield fake, str(server.make_url("/"))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session."""
    async with aiohttp.ClientSession() as opened:
        yield opened
