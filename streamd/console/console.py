"""The console put together: its page, its calls, and what it leaves on the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from streamd.clock import Clock
from streamd.config import Settings
from streamd.console.door import Door
from streamd.console.looks import Looks
from streamd.console.page import Page
from streamd.console.routes import Routes
from streamd.console.stills import Stills
from streamd.console.upkeep import Upkeep
from streamd.gateway import Gateway
from streamd.metrics import Metrics
from streamd.pipeline.onlooker import live_frames, sighting_files
from streamd.store import Store

__all__ = ["Console"]


class Console:
    """Serves people."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        gateway: Gateway,
        run_blocking: Callable[..., Awaitable[Any]],
        owns: Callable[[str], bool],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Put the parts together.

        Args:
            settings: Of the daemon.
            store: Holds stream processors and video streams.
            gateway: Started.
            run_blocking: Awaits a blocking call in an executor.
            owns: Whether sessions claimed under a name run on this machine.
            metrics: To count in.
            clock: The time.

        """
        frames, sightings = live_frames(settings, clock), sighting_files(settings)
        self._page = Page()
        self._door = Door(aws=settings.aws, metrics=metrics)
        self._upkeep = Upkeep(
            store=store,
            run_blocking=run_blocking,
            frames=frames,
            sightings=sightings,
            clock=clock,
        )
        view = gateway.view
        self._routes = Routes(
            settings=settings,
            store=store,
            run_blocking=run_blocking,
            frames=frames,
            sightings=sightings,
            stills=Stills(view.newest_clip, monotonic=clock.monotonic),
            state_of=view.state,
            owns=owns,
            looks=Looks(aws=settings.aws, monotonic=clock.monotonic),
            clock=clock,
        )

    def add_routes(self, app: web.Application) -> None:
        """Serve the page and its calls."""
        self._page.add_routes(app)
        self._routes.add(app, self._door)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep order on the disk while the block runs."""
        async with self._upkeep.running():
            yield
