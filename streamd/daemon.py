"""The control process: builds every part, serves one port, starts workers, ends in order."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from streamd import __version__, descriptors, service_manager
from streamd.api.images import ObjectReader
from streamd.api.server import RekognitionApi
from streamd.audit import auditing
from streamd.aws import S3Objects
from streamd.clock import SystemClock
from streamd.config import Settings
from streamd.console import OPEN_PATHS as CONSOLE_PATHS
from streamd.console import Console
from streamd.console.upkeep import forget_all
from streamd.errors import ConfigError, StreamdError
from streamd.exposition import Exposition
from streamd.gateway import Gateway
from streamd.keys import CallerKeys
from streamd.lag import watch_lag
from streamd.listener import listening
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.engine import AnalysisEngine
from streamd.pipeline.label_detection import missing_labels
from streamd.pipeline.scheduler import StreamProcessorScheduler
from streamd.protocol.front import name_server, refuse_unknown_paths
from streamd.protocol.identity import AccessKey, Identity, Permissions
from streamd.protocol.sigv4 import OPEN_PATHS, REQUEST_SECONDS, Verifier, auth_middleware
from streamd.replicas import BEATS_PER_LEASE, Replica, read_replica_id
from streamd.sinks.local_objects import LocalObjects
from streamd.store import Store
from streamd.store.vectors import CollectionVectors
from streamd.supervisor import WorkerSupervisor
from streamd.watch import watching
from streamd.worker_setup import (
    SWITCH_INTERVAL_SECONDS,
    WorkerSetup,
    analysis_threads,
    worker_count,
)

__all__ = ["Daemon", "run"]

logger = logging.getLogger(__name__)

STORE_THREADS = 8
ARCHIVE_THREADS = 8
OWN_KEY_PREFIX = "STREAMD"


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then drain; returns the exit code.

    Raises:
        ConfigError: If the daemon cannot start with these settings.

    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    descriptors.take_all()
    return asyncio.run(Daemon(settings).serve())


class Daemon:
    """One control process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._metrics = Metrics(CollectorRegistry())
        self._stop = asyncio.Event()
        self._ready = False
        self._supervisor: WorkerSupervisor | None = None
        self._wake_inline: list[Any] = []
        # Workers sign with a key of this run; other replicas learn it by the store.
        self._own_key = AccessKey(
            access_key_id=OWN_KEY_PREFIX + secrets.token_hex(6).upper(),
            secret=secrets.token_urlsafe(30),
            account_id=settings.aws.account_id,
            permissions=Permissions(actions=("kinesisvideo:*",)),
            acts_for_others=True,
        )
        self._keys = CallerKeys(
            settings.auth, account_id=settings.aws.account_id, own_key=self._own_key
        )

    async def serve(self) -> int:
        """Start, serve until told to stop, end in order; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            # Each part is closed in the reverse order of its start:
            # 7 workers drain, 6 the last beat, 5 the port closes, 4 producers end, 3 threads,
            # 2 store, 1 lock.
            await stack.enter_async_context(self._watched_lag())
            await stack.enter_async_context(self._locked_data_dir())
            store = await stack.enter_async_context(self._opened_store())
            run_store = await stack.enter_async_context(_pool("store", STORE_THREADS))
            run_archive = await stack.enter_async_context(_pool("archive", ARCHIVE_THREADS))
            engine = AnalysisEngine(
                settings=self._settings.models,
                models_dir=self._settings.models_dir,
                threads=analysis_threads(self._settings),
            )
            stack.callback(engine.close)
            replica = await self._replica(store, run_store)
            gateway = Gateway(
                store=store,
                settings=self._settings.kinesis_video,
                data_dir=self._settings.data_dir / "kinesis-video",
                aws=self._settings.aws,
                public_url=self._settings.server.public_url,
                clock=self._clock,
                metrics=self._metrics,
                run_blocking=run_archive,
                membership=replica,
                s3=self._settings.s3,
            )
            replica.on_beat.append(gateway.look_after_homes)
            await gateway.start()
            stack.push_async_callback(gateway.aclose)
            scheduler = StreamProcessorScheduler(
                store=store, run_blocking=run_store, metrics=self._metrics, wake=self._wake
            )
            vectors = CollectionVectors(store, self._settings.data_dir / "collections")
            # What a crash left of deleted collections.
            await run_store(vectors.prune)
            api = RekognitionApi(
                store=store,
                scheduler=scheduler,
                search=CollectionSearch(vectors),
                analyzer=engine.faces,
                labels=engine.labels,
                objects=self._objects(),
                aws=self._settings.aws,
                metrics=self._metrics,
                clock=self._clock,
                run_blocking=run_store,
                run_analysis=engine.run,
                missing_labels=lambda labels: missing_labels(engine.labels(), labels),
                limits=self._settings.limits,
            )
            await stack.enter_async_context(self._valid_keys())
            stack.enter_context(auditing(self._settings.server.audit_log))
            exposition = Exposition(
                metrics=self._metrics, store=store, settings=self._settings, run_blocking=run_store
            )
            stack.push_async_callback(exposition.aclose)
            app = self._application(api, gateway, exposition, store, run_store, replica)
            await self._open_console(app, stack, gateway, store, run_store)
            url = await stack.enter_async_context(listening(app, self._settings.server))
            await stack.enter_async_context(replica.beating(url))
            await stack.enter_async_context(self._working(url, store, run_store, replica))
            await stack.enter_async_context(service_manager.beating())
            self._ready = True
            logger.info("streamd %s serves on %s", __version__, url)
            service_manager.notify(f"READY=1\nSTATUS=serves on {url}")
            await self._stop.wait()
            self._ready = False
            logger.info("draining")
            service_manager.notify("STOPPING=1\nSTATUS=draining")
        logger.info("stopped")
        return 0

    async def _replica(self, store: Store, run_store: Any) -> Replica:
        settings = self._settings
        replica = Replica(
            replica_id=await run_store(read_replica_id, settings.data_dir),
            store=store,
            run_blocking=run_store,
            clock=self._clock,
            metrics=self._metrics,
            own_key=self._own_key,
            advertised_url=settings.server.advertised_url,
            beat_seconds=min(settings.store.lease_seconds, settings.store.home_seconds)
            / BEATS_PER_LEASE,
            home_seconds=settings.store.home_seconds,
        )
        replica.on_keys = self._keys.take_replicas
        return replica

    def _application(
        self,
        api: RekognitionApi,
        gateway: Gateway,
        exposition: Exposition,
        store: Store,
        run_store: Any,
        replica: Replica,
    ) -> web.Application:
        app = web.Application(
            middlewares=[refuse_unknown_paths, self._authentication(replica)],
            client_max_size=self._settings.server.max_body_bytes,
        )
        app.on_response_prepare.append(name_server)
        app[REQUEST_SECONDS] = self._settings.server.request_timeout_seconds

        async def metrics(request: web.Request) -> web.Response:
            body, content_type = await exposition.answer(request.headers.get("Accept"))
            return web.Response(body=body, headers={"Content-Type": content_type})

        async def health(request: web.Request) -> web.Response:
            del request
            return web.Response(text="ok\n")

        async def ready(request: web.Request) -> web.Response:
            del request
            try:
                await run_store(store.ping)
            except StreamdError as error:
                return web.Response(status=503, text=f"the store does not answer: {error}\n")
            if not self._ready:
                return web.Response(status=503, text="starting or draining\n")
            if self._supervisor is not None and (trouble := self._supervisor.trouble()):
                return web.Response(status=503, text=f"{trouble}\n")
            return web.Response(text="ready\n")

        app.router.add_post("/", api.handle)
        gateway.add_routes(app)
        app.router.add_get("/metrics", metrics)
        app.router.add_get("/healthz", health)
        app.router.add_get("/readyz", ready)
        return app

    async def _open_console(
        self,
        app: web.Application,
        stack: AsyncExitStack,
        gateway: Gateway,
        store: Store,
        run_store: Any,
    ) -> None:
        if not self._settings.console.enabled:
            await run_store(forget_all, self._settings.data_dir)
            return

        def owns(owner: str) -> bool:
            return self._supervisor is None or owner in self._supervisor.names

        console = Console(
            settings=self._settings,
            store=store,
            gateway=gateway,
            run_blocking=run_store,
            owns=owns,
            metrics=self._metrics,
            clock=self._clock,
        )
        console.add_routes(app)
        await stack.enter_async_context(console.running())

    def _objects(self) -> ObjectReader:
        if self._settings.outputs.s3 == "local" and self._settings.s3.endpoint_url is None:
            return LocalObjects(self._settings.data_dir / "outputs" / "s3")
        return S3Objects(self._settings.s3, region=self._settings.aws.region)

    def _authentication(self, replica: Replica) -> Middleware:
        aws = self._settings.aws
        verifier = Verifier(self._keys.ring, region=aws.region, clock=self._clock)

        async def look_up(access_key_id: str) -> None:
            # The worker of a replica that has started since the last beat.
            if access_key_id.startswith(OWN_KEY_PREFIX):
                with contextlib.suppress(StreamdError):  # then it stays unknown
                    await replica.look_again()

        open_paths = OPEN_PATHS | CONSOLE_PATHS
        if self._settings.auth.mode == "sigv4":
            return auth_middleware(verifier, open_paths=open_paths, look_up=look_up)
        if not self._settings.server.is_loopback:
            logger.warning(
                "anyone who reaches %s may do anything: requests need no signature (insecure)",
                self._settings.server.listen,
            )
        anonymous = Identity(account_id=aws.account_id)
        return auth_middleware(
            verifier, anonymous=anonymous, open_paths=open_paths, look_up=look_up
        )

    @asynccontextmanager
    async def _valid_keys(self) -> AsyncIterator[None]:
        """Read the keys that may call, now and whenever their file changes."""
        await asyncio.to_thread(self._keys.load)
        files = [self._keys.file] if self._keys.file is not None else []
        async with watching(files, self._keys.reload):
            yield

    @asynccontextmanager
    async def _watched_lag(self) -> AsyncIterator[None]:
        lag = self._metrics.event_loop_lag.labels("control")
        task = asyncio.create_task(watch_lag(lag.observe), name="lag")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def _locked_data_dir(self) -> AsyncIterator[None]:
        """Hold the data directory for this process alone."""
        path = self._settings.data_dir
        try:
            # Faces and video: for this user's eyes.
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(path / "streamd.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"'server.data_dir': {path} cannot be used: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ConfigError(
                f"another streamd serves {path}; stop it or choose another --data-dir"
            ) from None
        try:
            yield
        finally:
            os.close(lock)

    @asynccontextmanager
    async def _opened_store(self) -> AsyncIterator[Store]:
        store = Store(self._settings.store_url, clock=self._clock)
        try:
            await asyncio.to_thread(store.migrate)
            yield store
        finally:
            await asyncio.to_thread(store.close)

    @asynccontextmanager
    async def _working(
        self, url: str, store: Store, run_store: Any, replica: Replica
    ) -> AsyncIterator[None]:
        """Run the sessions, in worker processes or in this one."""
        setup = WorkerSetup(
            settings=self._settings,
            endpoint_url=url,
            replica_id=replica.replica_id,
            access_key_id=self._own_key.access_key_id,
            secret_access_key=self._own_key.secret,
        )
        count = worker_count(self._settings)
        cameras = tuple(sorted(self._settings.cameras))
        if count == 0:
            async with self._working_inline(dataclasses.replace(setup, cameras=cameras)):
                yield
            return
        lines = [
            dataclasses.replace(
                setup, delivers_leftovers=index == 0, cameras=cameras[index::count]
            ).dump()
            for index in range(count)
        ]

        async def free_sessions(worker: str) -> None:
            if count := await run_store(store.release_owner, worker):
                logger.info("sessions of a dead worker freed", extra={"sessions": count})
                self._wake()
            await run_store(lambda: store.release_cameras(owner=worker))

        self._supervisor = WorkerSupervisor(
            setup_lines=lines, metrics=self._metrics, on_dead=free_sessions
        )
        await self._supervisor.start()
        try:
            yield
        finally:
            await self._supervisor.aclose(drain_seconds=self._settings.server.drain_seconds)

    @asynccontextmanager
    async def _working_inline(self, setup: WorkerSetup) -> AsyncIterator[None]:
        # Decoders and sinks: nothing of a control process that has workers.
        from streamd.worker import run_sessions  # noqa: PLC0415

        stop = asyncio.Event()
        task = asyncio.create_task(
            run_sessions(setup, self._metrics, stop, self._wake_inline.append), name="sessions"
        )
        # Nothing works without it: its end is the daemon's.
        task.add_done_callback(lambda _: self._stop.set())
        try:
            yield
        finally:
            stop.set()
            await task

    def _wake(self) -> None:
        if self._supervisor is not None:
            self._supervisor.wake()
        for wake in self._wake_inline:
            wake()


@asynccontextmanager
async def _pool(name: str, threads: int) -> AsyncIterator[Any]:
    """Threads for one kind of blocking call; yields ``await run(function, *args)``."""
    pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield partial(asyncio.get_running_loop().run_in_executor, pool)
    finally:
        pool.shutdown(wait=True)
