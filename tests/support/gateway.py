"""A gateway on a real port, producers and consumers for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import boto3
from aiohttp import web
from botocore.config import Config
from prometheus_client import CollectorRegistry

from streamd.clock import Clock, SystemClock
from streamd.config import AwsSettings, KinesisVideoSettings
from streamd.gateway import Gateway
from streamd.metrics import Metrics
from streamd.store import Store

__all__ = ["DEADLINE_SECONDS", "PutMediaSession", "Server", "eventually", "serving"]

DEADLINE_SECONDS = 20.0


@dataclass
class PutMediaSession:
    """One upload: bytes go in by :meth:`send`, acknowledgements come out by :meth:`ack`."""

    response: aiohttp.ClientResponse
    queue: asyncio.Queue[bytes | None]
    acks: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        await self.queue.put(data)

    async def end(self) -> list[dict[str, Any]]:
        """End the request and return all acknowledgements."""
        await self.queue.put(None)
        return await self.rest()

    async def ack(self, event_type: str) -> dict[str, Any]:
        """Return the next acknowledgement of a type."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while line := await self.response.content.readline():
                self.acks.append(json.loads(line))
                if self.acks[-1]["EventType"] == event_type:
                    return self.acks[-1]
        raise AssertionError(f"the response ended without {event_type}: {self.acks}")

    async def rest(self) -> list[dict[str, Any]]:
        """Return all acknowledgements once the response has ended."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while line := await self.response.content.readline():
                self.acks.append(json.loads(line))
        return self.acks


@dataclass
class Server:
    """A gateway on a free port of the loopback."""

    gateway: Gateway
    store: Store
    metrics: Metrics
    url: str
    http: aiohttp.ClientSession

    def boto(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]  # the stubs want a literal
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, read_timeout=DEADLINE_SECONDS),
        )

    async def call(self, service: str, operation: str, **members: Any) -> Any:
        """Call boto3 in a thread."""
        return await asyncio.to_thread(getattr(self.boto(service), operation), **members)

    async def create(self, name: str = "door", *, hours: int = 24) -> str:
        answer = await self.call(
            "kinesisvideo", "create_stream", StreamName=name, DataRetentionInHours=hours
        )
        return str(answer["StreamARN"])

    @asynccontextmanager
    async def put_media(
        self, name: str = "door", *, kind: str = "ABSOLUTE", headers: dict[str, str] | None = None
    ) -> AsyncIterator[PutMediaSession]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def body() -> AsyncIterator[bytes]:
            yield b""  # aiohttp's client sends its headers with the first piece of the body
            while (data := await queue.get()) is not None:
                yield data

        sent = {
            "x-amzn-stream-name": name,
            "x-amzn-fragment-timecode-type": kind,
            **(headers or {}),
        }
        async with self.http.post(f"{self.url}/putMedia", headers=sent, data=body()) as response:
            yield PutMediaSession(response, queue)

    async def upload(self, data: bytes, name: str = "door", **kwargs: Any) -> list[dict[str, Any]]:
        """Send a whole body and return the acknowledgements."""
        async with self.put_media(name, **kwargs) as session:
            assert session.response.status == 200, await session.response.text()
            await session.send(data)
            return await session.end()

    def get_media(self, name: str = "door", **selector: Any) -> Any:
        document = {"StreamName": name, "StartSelector": selector}
        return self.http.post(f"{self.url}/getMedia", json=document)

    async def read_media(self, name: str = "door", **selector: Any) -> bytes:
        """Return a whole GetMedia body."""
        async with asyncio.timeout(DEADLINE_SECONDS), self.get_media(name, **selector) as answer:
            assert answer.status == 200, await answer.text()
            return bytes(await answer.read())

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def serving(data_dir: Path, **options: Any) -> AsyncIterator[Server]:
    """Run a gateway and its store; closing is part of what is tested."""
    clock: Clock = options.pop("clock", None) or SystemClock()
    settings = KinesisVideoSettings(**{"idle_seconds": 0.2, **options.pop("settings", {})})
    store_dir: Path = options.pop("store_dir", data_dir)
    store = Store(f"sqlite:///{store_dir / 'streamd.sqlite'}", clock=SystemClock())
    store.migrate()
    metrics = Metrics(CollectorRegistry())
    pool = concurrent.futures.ThreadPoolExecutor(4)
    gateway = Gateway(
        store=store,
        settings=settings,
        data_dir=data_dir / "kinesis-video",
        aws=AwsSettings(),
        clock=clock,
        metrics=metrics,
        run_blocking=partial(asyncio.get_running_loop().run_in_executor, pool),
        **options,
    )
    await gateway.start()
    app = web.Application(client_max_size=1024 * 1024)
    gateway.add_routes(app)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=2.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:
        try:
            yield Server(gateway, store, metrics, url, http)
        finally:
            await runner.cleanup()
            await gateway.aclose()
            pool.shutdown()
            store.close()


async def eventually(condition: Callable[[], Any] | Callable[[], Awaitable[Any]]) -> Any:
    """Return the condition's first true value."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)
