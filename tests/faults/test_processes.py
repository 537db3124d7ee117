"""Processes that are suspended, or short of descriptors or memory: others go on, then all do."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd import descriptors
from tests.faults.conftest import StartCamera
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.ledger import audit
from tests.support.limits import limited
from tests.support.live_camera import LiveCamera
from tests.support.story import create_face_search, status_of, wait_for_status
from tests.support.suspension import suspended

LEASE_SECONDS = 2.0
FEW = 8
"""Descriptors: below all that a worker has open, so none that it closes leaves room."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for the tests after which it must be as good as new."""
    settings = {
        "STREAMD_SERVER__WORKERS": "2",
        "STREAMD_STORE__LEASE_SECONDS": str(LEASE_SECONDS),
    }
    with running_daemon(tmp_path_factory.mktemp("processes") / "data", settings) as running:
        yield running


def _search(daemon: Daemon, name: str) -> None:
    create_face_search(daemon, name)
    daemon.client("rekognition").start_stream_processor(Name=name)
    wait_for_status(daemon, name, "RUNNING")


def _owner(daemon: Daemon, name: str) -> str:
    """Return the name of the worker that holds a processor's session."""
    path = daemon.data_dir / "streamd.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT owner FROM sessions WHERE processor_name = ?", (name,)).fetchone()
    return str(row[0])


def _pid_of(daemon: Daemon, worker: str) -> int:
    for pid in daemon.worker_pids():
        if worker in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            return pid
    raise AssertionError(f"no process is called {worker}")


def _check_books(daemon: Daemon, camera: LiveCamera) -> None:
    promised = camera.stop()
    wait_until(
        lambda: not audit(daemon.records(camera.stream), promised).lost,
        seconds=60,
        what="the records of every fragment",
    )
    assert audit(daemon.records(camera.stream), promised).is_ordered


def test_suspended_worker_loses_its_session_and_wakes_without_a_word(
    daemon: Daemon, start_camera: StartCamera
) -> None:
    """Another worker goes on within a lease; the zombie writes neither a status nor a record."""
    _search(daemon, "door")
    camera = start_camera(daemon.port, "door")
    wait_until(lambda: len(daemon.records("door")) >= 5, what="first records")
    zombie = _owner(daemon, "door")
    pid = _pid_of(daemon, zombie)
    with suspended(pid, database=daemon.data_dir / "streamd.sqlite"):
        suspended_at = time.monotonic()
        wait_until(lambda: _owner(daemon, "door") not in (zombie, "None"), what="a new owner")
        print(f"taken over {time.monotonic() - suspended_at:.1f} s after it was suspended")
        before = len(daemon.records("door"))
        wait_until(lambda: len(daemon.records("door")) > before + 5, what="its records")
    wait_until(
        lambda: "lease lost" in daemon.log() or "taken over" in daemon.log(),
        what="the zombie to find out",
    )
    assert _owner(daemon, "door") != zombie
    _check_books(daemon, camera)
    assert status_of(daemon, "door") == "RUNNING"
    # It is a worker like any other again, not one that was killed.
    assert pid in daemon.worker_pids()
    daemon.client("rekognition").stop_stream_processor(Name="door")
    wait_for_status(daemon, "door", "STOPPED")


def test_killed_worker_is_replaced_without_waiting_for_its_lease(
    daemon: Daemon, start_camera: StartCamera
) -> None:
    """The control process frees what the dead one held: the next claim is a poll away."""
    _search(daemon, "hall")
    camera = start_camera(daemon.port, "hall")
    wait_until(lambda: daemon.records("hall"), what="first records")
    dead = _owner(daemon, "hall")
    os.kill(_pid_of(daemon, dead), signal.SIGKILL)
    wait_until(lambda: _owner(daemon, "hall") not in (dead, "None"), what="a new owner")
    freed = "sessions of a dead worker freed"
    wait_until(lambda: freed in daemon.log(), what="the control process to say so")
    _check_books(daemon, camera)


def _open_descriptors(pid: int) -> int:
    return max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) + 1


def test_workers_without_descriptors_keep_their_sessions(
    daemon: Daemon, start_camera: StartCamera
) -> None:
    """What runs goes on, what starts waits, and starts when there are descriptors again."""
    _search(daemon, "gate")
    camera = start_camera(daemon.port, "gate")
    wait_until(lambda: daemon.records("gate"), what="first records")
    create_face_search(daemon, "late")
    with contextlib.ExitStack() as stack:
        stack.enter_context(limited(daemon.worker_pids(), resource.RLIMIT_NOFILE, FEW))
        daemon.client("rekognition").start_stream_processor(Name="late")
        wait_until(lambda: "trying again" in daemon.log(), what="the shortage to be told")
        before = len(camera.persisted)
        wait_until(lambda: len(camera.persisted) >= before + 2, what="fragments meanwhile")
        assert status_of(daemon, "late") == "STARTING"
        assert status_of(daemon, "gate") == "RUNNING"
    wait_for_status(daemon, "late", "RUNNING")
    _check_books(daemon, camera)


def test_control_process_without_descriptors_refuses_newcomers_only(
    daemon: Daemon, start_camera: StartCamera
) -> None:
    """Connections beyond the limit are answered 503; streams that are open go on."""
    _search(daemon, "dock")
    camera = start_camera(daemon.port, "dock")
    wait_until(lambda: daemon.records("dock"), what="first records")
    with contextlib.ExitStack() as stack:
        limit = max(descriptors.KEPT_BACK, _open_descriptors(daemon.pid)) + 12
        stack.enter_context(limited([daemon.pid], resource.RLIMIT_NOFILE, limit))
        for _ in range(60):
            newcomer = stack.enter_context(socket.socket())
            newcomer.connect(("127.0.0.1", daemon.port))
        wait_until(lambda: "connections refused" in daemon.log(), what="the shortage to be told")
        before = len(daemon.records("dock"))
        wait_until(lambda: len(daemon.records("dock")) > before + 5, what="records meanwhile")
    wait_until(lambda: daemon.get("/readyz")[0] == 200, what="newcomers to be served")
    _check_books(daemon, camera)
    assert camera.connections == 1


def test_worker_without_memory_costs_nothing_but_time(
    daemon: Daemon, start_camera: StartCamera
) -> None:
    """It waits or is replaced; every fragment has its records in the end."""
    _search(daemon, "roof")
    camera = start_camera(daemon.port, "roof")
    wait_until(lambda: daemon.records("roof"), what="first records")
    pid = _pid_of(daemon, _owner(daemon, "roof"))
    size_kib = int(
        next(
            line.split()[1]
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmSize:")
        )
    )
    with (
        contextlib.suppress(ProcessLookupError),
        limited([pid], resource.RLIMIT_AS, size_kib * 1024),
    ):
        before = len(camera.persisted)
        wait_until(lambda: len(camera.persisted) >= before + 4, what="fragments meanwhile")
    assert status_of(daemon, "roof") == "RUNNING"
    _check_books(daemon, camera)
