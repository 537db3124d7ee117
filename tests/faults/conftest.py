"""Daemons to hurt, and cameras that go on whatever happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.live_camera import LiveCamera, quiet_video

StartDaemon = Callable[..., Daemon]
StartCamera = Callable[..., LiveCamera]


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts daemons with short leases and two workers, each in a data directory of its own."""
    made: list[Daemon] = []

    def start(name: str = "data", *, ready: bool = True, **env: Any) -> Daemon:
        settings = {
            "STREAMD_SERVER__WORKERS": "2",
            "STREAMD_STORE__LEASE_SECONDS": "2",
            **{key: str(value) for key, value in env.items()},
        }
        daemon = Daemon(tmp_path / name, settings)
        made.append(daemon)
        return daemon.start(ready=ready)

    yield start
    for daemon in made:
        daemon.stop()


@pytest.fixture
def start_camera() -> Iterator[StartCamera]:
    """Starts cameras, and ends those still running."""
    made: list[LiveCamera] = []

    def start(port: int, stream: str, **more: Any) -> LiveCamera:
        camera = LiveCamera(port, stream, more.pop("video", None) or quiet_video(), **more)
        made.append(camera)
        return camera.start()

    yield start
    for camera in made:
        camera.stop()
