"""Which cameras are relayed here, without any camera: relays that fail to connect, and leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from streamd.clock import SystemClock
from streamd.config import CameraSettings
from streamd.errors import StreamdError
from streamd.metrics import Metrics
from streamd.producer import KinesisVideoControl
from streamd.producer.camera_leases import relay_cameras
from streamd.producer.errors import EndpointError
from tests.support.gateway import eventually


class Leases:
    """Leases that a test gives and takes."""

    lease_seconds = 0.03

    def __init__(self) -> None:
        self.free = {"door", "yard"}
        self.held: set[str] = set()
        self.is_away = False
        self.looks = 0
        self.asked: dict[str, str] = {}

    async def claim(self, streams: Mapping[str, str]) -> set[str]:
        self.asked = dict(streams)
        taken = self.free & streams.keys()
        self.free -= taken
        self.held |= taken
        return taken

    async def renew(self, cameras: Collection[str]) -> set[str]:
        self.looks += 1
        if self.is_away:
            raise StreamdError("away")
        return self.held & set(cameras)

    async def release(self) -> None:
        self.held = set()


class Scene:
    """A worker with two cameras."""

    def __init__(self) -> None:
        self.leases = Leases()
        self.metrics = Metrics(CollectorRegistry())
        self.stop = asyncio.Event()
        self.connects = 0

    def connect(self) -> KinesisVideoControl:
        self.connects += 1
        raise EndpointError("nothing answers")

    def relayed(self) -> set[str]:
        value = self.metrics.registry.get_sample_value
        names = {"door", "yard"}
        return {n for n in names if value("streamd_camera_relayed", {"camera": n})}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        cameras = {
            "door": CameraSettings(url=SecretStr("rtsp://127.0.0.1:1/door")),
            "yard": CameraSettings(url=SecretStr("rtsp://127.0.0.1:1/yard"), stream="garden"),
        }
        task = asyncio.create_task(
            relay_cameras(
                cameras,
                leases=self.leases,
                connect=self.connect,
                metrics=self.metrics,
                clock=SystemClock(),
                stop=self.stop,
            )
        )
        try:
            yield
        finally:
            self.stop.set()
            await task

    async def until(self, relayed: set[str]) -> None:
        await eventually(lambda: self.relayed() == relayed)

    async def looked(self, times: int = 3) -> None:
        goal = self.leases.looks + times
        await eventually(lambda: self.leases.looks >= goal)


async def test_cameras_that_are_ours_are_relayed() -> None:
    """Those whose lease was had; at the end every lease is given back."""
    scene = Scene()
    scene.leases.free = {"door"}
    async with scene.running():
        await scene.until({"door"})
        await scene.looked()
        assert scene.leases.asked == {"yard": "garden"}
        scene.leases.free = {"yard"}
        await scene.until({"door", "yard"})
    assert scene.relayed() == set()
    assert scene.leases.held == set()
    assert scene.connects >= 2


async def test_a_camera_whose_lease_is_lost_is_left() -> None:
    """The other goes on."""
    scene = Scene()
    async with scene.running():
        await scene.until({"door", "yard"})
        scene.leases.held.discard("door")
        await scene.until({"yard"})


async def test_relays_go_on_while_the_store_is_away() -> None:
    """Nobody can say that the lease is another's."""
    scene = Scene()
    async with scene.running():
        await scene.until({"door", "yard"})
        scene.leases.is_away = True
        await scene.looked()
        assert scene.relayed() == {"door", "yard"}
        scene.leases.held.clear()
        scene.leases.is_away = False
        await scene.until(set())
