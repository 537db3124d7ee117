"""A worker process: runs the sessions it claims until its standard input ends.

The first line of standard input is a :class:`WorkerSetup` as JSON, every further line a
wake-up. The end of input, also by the control process being killed, means drain and leave.
Its arguments are the name it claims sessions under and the descriptor it beats on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from streamd import logs
from streamd.aws import CredentialChain, fixed_key
from streamd.clock import SystemClock
from streamd.errors import ConfigError
from streamd.exposition import FORGET_SECONDS, resources_present
from streamd.freed_memory import keep_giving_back
from streamd.ingest.getmedia import KinesisVideoClient, SigningKey
from streamd.lag import watch_lag
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.engine import AnalysisEngine
from streamd.pipeline.feed import FeedParts
from streamd.pipeline.feeds import Feeds
from streamd.pipeline.host import SessionHost
from streamd.pipeline.leftovers import LeftoverDelivery
from streamd.pipeline.pace import PaceKeeper
from streamd.pipeline.parts import SessionParts
from streamd.pipeline.session import SessionRunner
from streamd.producer.camera_leases import CameraLeases, relay_cameras
from streamd.producer.kinesis_video import KinesisVideoControl
from streamd.protocol.sigv4 import ACCOUNT_HEADER
from streamd.roles import AssumedRoles
from streamd.sinks.router import build_sinks
from streamd.store import Store, WorkerPlace
from streamd.store.errors import StoreError
from streamd.store.vectors import CollectionVectors
from streamd.worker_setup import SWITCH_INTERVAL_SECONDS, WorkerSetup, analysis_threads

__all__ = [
    "main",
    "run_sessions",
]

logger = logging.getLogger(__name__)

PULSE_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 5.0
"""After so much silence of a stream a worker asks whether its home is still where it was."""
STORE_THREADS = 4
OUTBOX_THREADS = 4
CREDENTIALS_THREADS = 4
"""Their search may wait for the network: the store's threads, and so the leases, must not."""

RunBlocking = Callable[..., Awaitable[Any]]


async def run_sessions(
    setup: WorkerSetup,
    metrics: Metrics,
    stop: asyncio.Event,
    on_wake: Callable[[Callable[[], None]], None],
    *,
    owner: str | None = None,
) -> None:
    """Claim and run sessions until ``stop`` is set.

    Args:
        setup: Settings and where the embedded Kinesis Video is.
        metrics: Of this process.
        stop: Set to drain and return.
        on_wake: Called once with the function that makes the host look at the store.
        owner: The name to claim sessions under, nobody else's ever.

    """
    settings, clock = setup.settings, SystemClock()
    owner = owner or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    store = Store(settings.store_url, clock=clock)
    store_pool = concurrent.futures.ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
    outbox_pool = concurrent.futures.ThreadPoolExecutor(OUTBOX_THREADS, thread_name_prefix="outbox")
    credentials_pool = concurrent.futures.ThreadPoolExecutor(
        CREDENTIALS_THREADS, thread_name_prefix="credentials"
    )
    engine = AnalysisEngine(
        settings=settings.models,
        models_dir=settings.models_dir,
        threads=analysis_threads(settings),
    )
    feeds = Feeds(
        FeedParts(
            settings=settings.analysis,
            engine=engine,
            metrics=metrics,
            clock=clock,
            pace=PaceKeeper(),
        )
    )
    loop = asyncio.get_running_loop()
    run_store: RunBlocking = partial(loop.run_in_executor, store_pool)
    roles = AssumedRoles(region=settings.aws.region, endpoint_url=settings.aws.sts_endpoint_url)
    sinks = build_sinks(settings, clock=clock, roles=roles)
    # No limit on connections: every session holds one GetMedia answer open.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        try:
            await sinks.open()
            parts = SessionParts(
                settings=settings,
                store=store,
                run_blocking=run_store,
                run_outbox=partial(loop.run_in_executor, outbox_pool),
                engine=engine,
                feeds=feeds,
                client=_client(setup, http, roles, partial(loop.run_in_executor, credentials_pool)),
                sinks=sinks,
                search=CollectionSearch(
                    CollectionVectors(store, settings.data_dir / "collections")
                ),
                metrics=metrics,
                clock=clock,
            )
            host: SessionHost = SessionHost(
                place=WorkerPlace(
                    owner=owner,
                    threads=analysis_threads(settings),
                    max_sessions=settings.analysis.max_sessions_per_worker,
                ),
                store=store,
                run_blocking=parts.run_blocking,
                open_session=lambda claim, on_busy: SessionRunner(
                    claim,
                    replace(parts, on_busy=on_busy),
                    is_held=lambda: host.holds(claim.session),
                ),
                lease_seconds=settings.store.lease_seconds,
                metrics=metrics,
            )
            on_wake(host.wake)
            leases = _StoredLeases(store, run_store, setup=setup, owner=owner)
            async with (
                _delivering_leftovers(setup, parts),
                _relaying(setup, leases, metrics, stop),
                _forgetting(parts),
                _running(keep_giving_back(), name="freed-memory"),
            ):
                await host.run(stop)
        finally:
            await feeds.aclose()
            await sinks.aclose()
            engine.close()
            # Whoever still looks for credentials is not waited for.
            credentials_pool.shutdown(wait=False, cancel_futures=True)
            for pool in (outbox_pool, store_pool):
                pool.shutdown(wait=True)
            store.close()


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Do something beside, to the end of the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _delivering_leftovers(setup: WorkerSetup, parts: SessionParts) -> AsyncIterator[None]:
    if not setup.delivers_leftovers:
        yield
        return
    leftovers = LeftoverDelivery(
        settings=parts.settings,
        store=parts.store,
        sinks=parts.sinks,
        metrics=parts.metrics,
        clock=parts.clock,
        run_store=parts.run_blocking,
        run_outbox=parts.run_outbox,
    )
    async with _running(leftovers.run(), name="leftovers"):
        yield


@asynccontextmanager
async def _forgetting(parts: SessionParts) -> AsyncIterator[None]:
    """Let go, now and then, of the metrics of stream processors that are gone."""

    async def forget() -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            with contextlib.suppress(StoreError):
                present = await parts.run_blocking(resources_present, parts.store, parts.settings)
                for label, names in present.items():
                    await parts.run_blocking(parts.metrics.forget, label, names)

    async with _running(forget(), name="forget-metrics"):
        yield


@asynccontextmanager
async def _relaying(
    setup: WorkerSetup, leases: CameraLeases, metrics: Metrics, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Relay the cameras of this worker; they end when ``stop`` is set."""
    settings = setup.settings

    def connect() -> KinesisVideoControl:
        configured = settings.kinesis_video.endpoint_url
        if configured != "embedded":
            return KinesisVideoControl(configured, region=settings.aws.region)
        key = None
        if setup.access_key_id is not None and setup.secret_access_key is not None:
            key = (setup.access_key_id, setup.secret_access_key)
        # The certificate names the public host, not this machine's loopback.
        return KinesisVideoControl(
            setup.endpoint_url,
            region=settings.aws.region,
            key=key,
            verify=False,
            unverified_urls=_own_urls(setup),
        )

    task = asyncio.create_task(
        relay_cameras(
            {name: settings.cameras[name] for name in setup.cameras},
            leases=leases,
            connect=connect,
            metrics=metrics,
            clock=SystemClock(),
            stop=stop,
        ),
        name="cameras",
    )
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    """Run as a process, see the module's docstring."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the control process ended before it said anything
    setup = WorkerSetup.parse(line.decode())
    logs.configure(setup.settings.server.log_format, setup.settings.server.log_level)
    # Whoever wants the daemon to stop tells the control process, which closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    name, pulse = sys.argv[1], int(sys.argv[2])
    try:
        asyncio.run(_run(setup, name, pulse))
    except ConfigError as error:
        # The data directory as it is now, for one: one line, and another worker tries later.
        logger.error("worker cannot run: %s", error)  # noqa: TRY400  # the message says it all
        sys.exit(1)


async def _run(setup: WorkerSetup, name: str, pulse: int) -> None:
    stop = asyncio.Event()
    wakers: list[Callable[[], None]] = []
    metrics = Metrics(CollectorRegistry())
    lag = metrics.event_loop_lag.labels("worker")
    helpers = [
        asyncio.create_task(_listen(stop, wakers), name="control-pipe"),
        asyncio.create_task(_beat(pulse), name="pulse"),
        asyncio.create_task(watch_lag(lag.observe), name="lag"),
    ]
    try:
        await run_sessions(setup, metrics, stop, wakers.append, owner=name)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


async def _beat(pulse: int) -> None:
    """Show the control process that this event loop runs."""
    os.set_blocking(pulse, False)
    while True:
        # A full pipe or a broken one is the reader's affair; the other pipe tells of its end.
        with contextlib.suppress(OSError):
            os.write(pulse, b".")
        await asyncio.sleep(PULSE_SECONDS)


async def _listen(stop: asyncio.Event, wakers: list[Callable[[], None]]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while await reader.read(4096):
            for wake in wakers:
                wake()
    finally:
        transport.close()
        stop.set()


class _StoredLeases:
    """The leases of cameras in the store."""

    def __init__(self, store: Store, run: RunBlocking, *, setup: WorkerSetup, owner: str) -> None:
        self._store = store
        self._run = run
        self._setup = setup
        self._owner = owner
        self.lease_seconds = setup.settings.store.lease_seconds

    async def claim(self, streams: Mapping[str, str]) -> set[str]:
        taken: set[str] = await self._run(
            lambda: self._store.claim_cameras(
                streams,
                account_id=self._setup.settings.aws.account_id,
                replica_id=self._setup.replica_id,
                owner=self._owner,
                lease_seconds=self.lease_seconds,
            )
        )
        return taken

    async def renew(self, cameras: Collection[str]) -> set[str]:
        held: set[str] = await self._run(
            lambda: self._store.renew_cameras(
                cameras, owner=self._owner, lease_seconds=self.lease_seconds
            )
        )
        return held

    async def release(self) -> None:
        await self._run(lambda: self._store.release_cameras(owner=self._owner))


def _own_urls(setup: WorkerSetup) -> tuple[str, ...]:
    """Return where the control process is reached, whose certificate need not be verified.

    It is on this machine, and its certificate names the public host. Other replicas' are verified.
    """
    advertised = setup.settings.server.advertised_url
    return (setup.endpoint_url, *([advertised] if advertised is not None else []))


def _client(
    setup: WorkerSetup, http: aiohttp.ClientSession, roles: AssumedRoles, run: RunBlocking
) -> KinesisVideoClient:
    settings = setup.settings
    configured = settings.kinesis_video.endpoint_url
    if configured == "embedded":
        url: str | None = setup.endpoint_url
    else:
        url = None if configured == "aws" else configured
    chain = CredentialChain()

    async def credentials(
        role_arn: str | None, *, expired: SigningKey | None = None
    ) -> SigningKey | None:
        if configured != "embedded":
            find = chain.key if role_arn is None else partial(roles.key, role_arn)
            found: SigningKey | None = await run(partial(find, expired=expired))
            return found
        if setup.access_key_id is None or setup.secret_access_key is None:
            return None
        return fixed_key(setup.access_key_id, setup.secret_access_key)

    return KinesisVideoClient(
        session=http,
        region=settings.aws.region,
        endpoint_url=url,
        credentials=credentials,
        account_header=ACCOUNT_HEADER if configured == "embedded" else None,
        unverified_urls=_own_urls(setup) if configured == "embedded" else (),
        look_again_seconds=LOOK_AGAIN_SECONDS if configured == "embedded" else None,
    )


if __name__ == "__main__":
    main()
