"""Every reason to stop reading a producer's body, and what arrived before it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamd.gateway.upload_body import Ending, StoppedError, UploadBody

LONG = 3600.0
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Producer:
    """A connection to a server that reads its request's body to the end, whatever that is."""

    def __init__(self, **patience: float) -> None:
        self.patience = patience
        self.data = b""
        self.idles = 0
        self.body: UploadBody | None = None
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        # In a task of its own, as uploads are: aiohttp cancels the handler of a lost connection.
        self.reading = asyncio.create_task(self._read(request))
        await asyncio.shield(self.reading)
        return web.Response()

    async def _read(self, request: web.Request) -> None:
        loop = asyncio.get_running_loop()
        options = {"idle_ack_seconds": LONG, "idle_close_seconds": LONG, "ends_in": LONG}
        options |= self.patience
        self.body = UploadBody(
            request,
            on_idle=self._note_idle,
            idle_ack_seconds=options["idle_ack_seconds"],
            idle_close_seconds=options["idle_close_seconds"],
            ends_at=loop.time() + options["ends_in"],
        )
        ending = Ending.FINISHED
        try:
            while data := await self.body.read():
                self.data += data
                self.arrived.set()
        except StoppedError as stopped:
            ending = stopped.ending
        self.ending.set_result(ending)

    def _note_idle(self) -> None:
        self.idles += 1


@contextlib.asynccontextmanager
async def producer(**patience: float) -> AsyncIterator[tuple[Producer, asyncio.StreamWriter]]:
    made = Producer(**patience)
    app = web.Application()
    app.router.add_post("/", made.handle)
    async with TestServer(app) as server, asyncio.timeout(30):
        assert server.port is not None
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HEAD + b"3\r\none\r\n")
        await made.arrived.wait()
        try:
            yield made, writer
        finally:
            writer.close()


async def test_a_body_is_read_to_its_end() -> None:
    """Piece by piece, as it comes."""
    async with producer() as (made, writer):
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        assert await made.ending is Ending.FINISHED
    assert made.data == b"onetwo"


async def test_idle_is_told_again_and_again() -> None:
    """Until the producer has been silent for too long."""
    async with producer(idle_ack_seconds=0.02, idle_close_seconds=0.2) as (made, _):
        assert await made.ending is Ending.IDLE
    assert made.idles >= 2


async def test_a_connection_has_an_end() -> None:
    """However much patience there is with silence."""
    async with producer(ends_in=0.1) as (made, _):
        assert await made.ending is Ending.OUT_OF_TIME


async def test_an_interruption_stops_a_read_that_waits() -> None:
    """And every one after it; what arrived before stays."""
    async with producer() as (made, writer):
        assert made.body is not None
        made.body.interrupt()
        assert await made.ending is Ending.INTERRUPTED
        writer.write(b"3\r\ntwo\r\n")
        with pytest.raises(StoppedError):
            await made.body.read()
    assert made.data == b"one"


async def test_a_producer_that_goes_away_is_noticed() -> None:
    """With what it had sent until then."""
    async with producer() as (made, writer):
        writer.write(b"6\r\ntwothr")
        await writer.drain()
        cast(asyncio.Transport, writer.transport).abort()
        assert await made.ending in (Ending.DISCONNECTED, Ending.UNREADABLE)
    assert made.data.startswith(b"one")


async def test_chunks_that_make_no_sense_are_told_apart() -> None:
    """The producer is still there, so it can be told."""
    async with producer(idle_ack_seconds=0.05) as (made, writer):
        writer.write(b"zzz\r\n")
        assert await made.ending is Ending.UNREADABLE
    assert made.data == b"one"
