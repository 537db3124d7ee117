"""Which cameras of the settings are relayed here: those whose lease this worker holds.

Several replicas may have the same cameras in their settings; a camera gets one connection. A
relay whose lease cannot be renewed because the store is away goes on, since nobody else can
take the lease meanwhile, or the store is away for us alone: then the camera is read twice for a
while, but its stream, which takes one producer at a time, does not get it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from streamd.clock import Clock
from streamd.config import CameraSettings
from streamd.errors import StreamdError
from streamd.metrics import Metrics
from streamd.producer.kinesis_video import KinesisVideoControl
from streamd.producer.relay import CameraRelay

__all__ = ["CameraLeases", "relay_cameras"]

logger = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long a camera's last fragments may take to be acknowledged at the end."""
LOOKS_PER_LEASE = 3


class CameraLeases(Protocol):
    """Leases in the store; every method raises :class:`StreamdError` while it is away."""

    lease_seconds: float

    async def claim(self, streams: Mapping[str, str]) -> set[str]:
        """Take the cameras that nobody relays, of ``{camera: its stream}``."""

    async def renew(self, cameras: Collection[str]) -> set[str]:
        """Prolong leases; returns those still held."""

    async def release(self) -> None:
        """Give back everything."""


async def relay_cameras(
    cameras: Mapping[str, CameraSettings],
    *,
    leases: CameraLeases,
    connect: Callable[[], KinesisVideoControl],
    metrics: Metrics,
    clock: Clock,
    stop: asyncio.Event,
) -> None:
    """Relay the cameras that are ours until ``stop`` is set.

    Args:
        cameras: By name.
        leases: Say which are ours.
        connect: Makes the control plane's client (blocking).
        metrics: Of this process.
        clock: Where time comes from.
        stop: Set to let the last fragments out and return.

    """
    if not cameras:
        return

    def make(name: str) -> CameraRelay:
        return CameraRelay(name, cameras[name], connect=connect, metrics=metrics, clock=clock)

    shift = _Shift(
        {name: settings.stream or name for name, settings in cameras.items()},
        leases=leases,
        make=make,
        metrics=metrics,
    )
    try:
        while not stop.is_set():
            await shift.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(leases.lease_seconds / LOOKS_PER_LEASE):
                    await stop.wait()
        await shift.end(seconds=STOP_SECONDS)
    finally:
        await shift.end(seconds=0.0)


class _Shift:
    """The relays that run here now."""

    def __init__(
        self,
        streams: Mapping[str, str],
        *,
        leases: CameraLeases,
        make: Callable[[str], CameraRelay],
        metrics: Metrics,
    ) -> None:
        self._streams = streams
        self._leases = leases
        self._make = make
        self._metrics = metrics
        self._running: dict[str, tuple[CameraRelay, asyncio.Task[None]]] = {}
        self._is_away = False

    async def look(self) -> None:
        """Compare what runs with what is ours."""
        try:
            held = await self._leases.renew(list(self._running))
            lost = self._running.keys() - held
            if lost:
                logger.warning("cameras left to another replica", extra={"cameras": sorted(lost)})
                await self._drop(lost, seconds=0.0)
            wanted = {n: s for n, s in self._streams.items() if n not in self._running}
            for name in sorted(await self._leases.claim(wanted) if wanted else ()):
                self._begin(name)
        except StreamdError as error:
            if not self._is_away:
                logger.warning("leases of cameras cannot be renewed, going on: %s", error)
            self._is_away = True
        else:
            self._is_away = False
        for name, (_, task) in list(self._running.items()):
            if task.done():  # a mistake of ours ended it
                self._begin(name)

    async def end(self, *, seconds: float) -> None:
        """Stop all, with so much time for their last fragments, and give the leases back."""
        if self._running:
            await self._drop(list(self._running), seconds=seconds)
            with contextlib.suppress(StreamdError):  # they end by themselves
                await self._leases.release()

    def _begin(self, name: str) -> None:
        relay = self._make(name)
        task = asyncio.create_task(relay.run(), name=f"camera-{name}")
        task.add_done_callback(_note_end)
        self._running[name] = relay, task
        self._metrics.camera_relayed.labels(name).set(1)

    async def _drop(self, names: Collection[str], *, seconds: float) -> None:
        going = [self._running.pop(name) for name in names]
        tasks = [task for _, task in going]
        try:
            if seconds:
                for relay, _ in going:
                    relay.stop()
                await asyncio.wait(tasks, timeout=seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for name in names:
                self._metrics.camera_relayed.labels(name).set(0)


def _note_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("camera's relay broke: %s", task.get_name(), exc_info=error)
