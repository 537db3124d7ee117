"""The faults of a soak run, each with its own end; what they cost is noted."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.kafka import MockCluster
from tests.support.rtsp_camera import RtspCamera
from tests.support.suspension import suspended

__all__ = ["Tormentor"]

TAKEOVER_LIMIT_SECONDS = 60.0


class Tormentor:
    """Hurts a daemon and everything around it, one thing at a time."""

    def __init__(
        self,
        daemon: Daemon,
        cluster: MockCluster,
        camera: RtspCamera,
        dice: random.Random,
    ) -> None:
        self.faults: Counter[str] = Counter()
        self.takeovers: list[float] = []
        """Seconds from a worker's end to the last of its sessions being held by another."""
        self.restarts: list[float] = []
        """Seconds from the daemon's end to all sessions being held again."""
        self._daemon = daemon
        self._cluster = cluster
        self._camera = camera
        self._dice = dice
        self._ways: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker suspended": self._suspend_worker,
            "daemon killed": self._kill_daemon,
            "daemon stopped (SIGTERM)": self._stop_daemon,
            "broker down": self._broker_down,
            "camera cut": self._camera.drop_all,
            "camera off": self._camera_off,
        }

    def strike(self) -> str:
        """Do one of them and wait until it is over; returns which."""
        # Each in turn first, so that a short run has all of them.
        fresh = [name for name in self._ways if not self.faults[name]]
        name = self._dice.choice(fresh or list(self._ways))
        self._ways[name]()
        self.faults[name] += 1
        return name

    def _kill_worker(self) -> None:
        victim = self._some_owner()
        if victim is not None:
            os.kill(self._pid_of(victim), signal.SIGKILL)
            self.takeovers.append(self._until_held(without=victim))

    def _suspend_worker(self) -> None:
        victim = self._some_owner()
        if victim is None:
            return
        # Where it holds a lock just then, others wait until the control process kills it.
        with suspended(self._pid_of(victim)):
            self.takeovers.append(self._until_held(without=victim))

    def _kill_daemon(self) -> None:
        before = self._owners()
        self._daemon.kill()
        self._restart(before)

    def _stop_daemon(self) -> None:
        before = self._owners()
        code = self._daemon.terminate()
        assert code == 0, f"SIGTERM ended with exit code {code}"
        self._restart(before)

    def _restart(self, before: dict[str, str | None]) -> None:
        started = time.monotonic()
        self._daemon.start()
        gone = {owner for owner in before.values() if owner}
        self._wait(lambda: all(o and o not in gone for o in self._owners().values()))
        self.restarts.append(time.monotonic() - started)

    def _broker_down(self) -> None:
        self._cluster.set_down()
        time.sleep(self._dice.uniform(2, 6))
        self._cluster.set_up()

    def _camera_off(self) -> None:
        self._camera.stop()
        time.sleep(self._dice.uniform(1, 4))
        self._camera.start()

    def _until_held(self, *, without: str) -> float:
        started = time.monotonic()
        self._wait(lambda: all(o and o != without for o in self._owners().values()))
        return time.monotonic() - started

    @staticmethod
    def _wait(fact: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TAKEOVER_LIMIT_SECONDS
        while not fact():
            assert time.monotonic() < deadline, "sessions are held by nobody"
            time.sleep(0.05)

    def _owners(self) -> dict[str, str | None]:
        """Return who holds each session, by stream processor."""
        path = self._daemon.data_dir / "streamd.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT processor_name, owner FROM sessions").fetchall()
        return {str(name): owner for name, owner in rows}

    def _some_owner(self) -> str | None:
        names = {worker for pid in self._daemon.worker_pids() for worker in _arguments(pid)}
        owners = sorted({owner for owner in self._owners().values() if owner in names and owner})
        return self._dice.choice(owners) if owners else None

    def _pid_of(self, worker: str) -> int:
        return next(pid for pid in self._daemon.worker_pids() if worker in _arguments(pid))


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
