"""What the console leaves on the disk, and when it goes: frames at once, sightings by age."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from streamd.clock import Clock
from streamd.errors import StreamdError
from streamd.pipeline.live_frames import LiveFrames
from streamd.pipeline.onlooker import key_of
from streamd.pipeline.sightings import SightingFiles
from streamd.store import NotFoundError, Store

__all__ = ["Upkeep", "forget_all"]

logger = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 5.0
SWEEPS_PER_LOOK: Final = 12
"""Sightings are looked through once in so many sweeps."""


def forget_all(data_dir: Path) -> None:
    """Take away everything, where there is no console (blocking)."""
    shutil.rmtree(data_dir / "console", ignore_errors=True)


class Upkeep:
    """Takes away what nobody may see any more."""

    def __init__(
        self,
        *,
        store: Store,
        run_blocking: Callable[..., Awaitable[Any]],
        frames: LiveFrames,
        sightings: SightingFiles,
        clock: Clock,
    ) -> None:
        self._store = store
        self._run = run_blocking
        self._frames = frames
        self._sightings = sightings
        self._clock = clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep while the block runs; no frame is there before or after."""
        await self._run(self._frames.clear)
        task = asyncio.create_task(self._sweep_on(), name="console-upkeep")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._run(self._frames.clear)

    def look_through(self) -> None:
        """Forget old sightings, and those of stream processors that are gone (blocking).

        Raises:
            StoreError: If the store does not answer.

        """
        living = {key for key in self._sightings.keys() if self._is_living(key)}  # noqa: SIM118  # no mapping
        self._sightings.sweep(living, now=self._clock.epoch())

    def _is_living(self, key: str) -> bool:
        account_id, _, rest = key.partition("-")
        try:
            processor = self._store.stream_processor(account_id, rest.partition("-")[2])
        except NotFoundError:
            return False
        return key_of(processor) == key

    async def _sweep_on(self) -> None:
        sweeps = 0
        while True:
            try:
                await self._run(self._frames.sweep)
                if sweeps % SWEEPS_PER_LOOK == 0:
                    await self._run(self.look_through)
            except (OSError, StreamdError) as error:
                logger.warning("sightings were not looked through: %s", error)
            sweeps += 1
            await asyncio.sleep(SWEEP_SECONDS)
