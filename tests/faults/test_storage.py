"""Disks that are full, read-only or damaged: clear errors, others go on, recovery by itself."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import StartCamera, StartDaemon
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.ledger import audit
from tests.support.limits import no_room_on_disk
from tests.support.live_camera import LiveCamera
from tests.support.long_form import long_form
from tests.support.story import create_face_search, status_of, wait_for_status


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for the tests after which it must be as good as new."""
    settings = {"STREAMD_SERVER__WORKERS": "2", "STREAMD_STORE__LEASE_SECONDS": "2"}
    with running_daemon(tmp_path_factory.mktemp("storage") / "data", settings) as running:
        yield running


def _search(daemon: Daemon, name: str) -> None:
    create_face_search(daemon, name)
    daemon.client("rekognition").start_stream_processor(Name=name)
    wait_for_status(daemon, name, "RUNNING")


def _message(daemon: Daemon, name: str) -> str:
    answer = daemon.client("rekognition").describe_stream_processor(Name=name)
    return str(answer.get("StatusMessage", ""))


def _wait_for_all(daemon: Daemon, camera: LiveCamera) -> None:
    promised = camera.stop()
    assert len(promised) >= 4
    wait_until(
        lambda: not audit(daemon.records(camera.stream), promised).lost,
        seconds=60,
        what="the records of every fragment",
    )
    assert audit(daemon.records(camera.stream), promised).is_ordered


def test_workers_without_room_on_disk_wait_and_go_on(
    daemon: Daemon, start_camera: StartCamera
) -> None:
    """No result can be kept: the processor stays RUNNING, says so, and catches up afterwards."""
    _search(daemon, "door")
    camera = start_camera(daemon.port, "door")
    wait_until(lambda: daemon.records("door"), what="first records")
    with no_room_on_disk(daemon.worker_pids()):
        wait_until(
            lambda: "session cannot go on now, trying again" in daemon.log(),
            what="the shortage to be told",
        )
        fragments = len(camera.persisted)
        # The archive is not short of anything: it goes on taking what the camera sends.
        wait_until(lambda: len(camera.persisted) >= fragments + 4, what="fragments meanwhile")
        assert status_of(daemon, "door") == "RUNNING"
        assert daemon.metric("streamd_session_shortages_total") >= 1
    _wait_for_all(daemon, camera)
    wait_until(lambda: not _message(daemon, "door"), what="the message to go")
    assert "Traceback" not in daemon.log()


def test_outbox_damaged_while_in_use_is_replaced(daemon: Daemon, start_camera: StartCamera) -> None:
    """A disk that loses its mind under a running session costs a new beginning, not the session."""
    _search(daemon, "yard")
    camera = start_camera(daemon.port, "yard")
    wait_until(lambda: len(camera.persisted) >= 3, what="fragments")
    (path,) = list((daemon.data_dir / "outbox").rglob("*yard*.sqlite"))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
    wait_until(lambda: "is damaged" in daemon.log(), what="the damage to be seen")
    _wait_for_all(daemon, camera)
    assert status_of(daemon, "yard") == "RUNNING"


@contextlib.contextmanager
def _small_disk(path: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own; skips the test where it cannot be mounted."""
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mount.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@long_form
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_full_disk_stops_everything_and_breaks_nothing(
    tmp_path: Path, start_daemon: StartDaemon, start_camera: StartCamera
) -> None:
    """ENOSPC for store, archive, outbox and sink at once; with room again all goes on by itself."""
    with _small_disk(tmp_path / "disk", 24):
        daemon = start_daemon("disk/data")
        try:
            _search(daemon, "door")
            camera = start_camera(daemon.port, "door")
            wait_until(lambda: len(camera.persisted) >= 3, what="fragments")
            ballast = tmp_path / "disk" / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            wait_until(
                lambda: "trying again" in daemon.log() or "No space left" in daemon.log(),
                what="the full disk to be told",
            )
            assert daemon.get("/healthz")[0] == 200
            ballast.unlink()
            fragments = len(camera.persisted)
            wait_until(
                lambda: len(camera.persisted) >= fragments + 3, seconds=40, what="new fragments"
            )
            assert status_of(daemon, "door") == "RUNNING"
            _wait_for_all(daemon, camera)
            assert daemon.terminate() == 0
        finally:
            daemon.stop()


def _refused(data_dir: Path) -> str:
    """Try to serve; return what the failing daemon says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("STREAMD_")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "streamd", "serve"),
            *("--data-dir", str(data_dir), "--listen", "127.0.0.1:0"),
        ],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr + done.stdout


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a place nobody can write to")
def test_read_only_data_directory_is_named() -> None:
    """One line says which directory cannot be used, and why."""
    assert "'server.data_dir': /proc/sys/streamd cannot be used" in _refused(
        Path("/proc/sys/streamd")
    )


def test_damaged_store_is_named_and_left_alone(tmp_path: Path) -> None:
    """The daemon does not start over it, nor does it touch what may be saved by hand."""
    store = tmp_path / "data" / "streamd.sqlite"
    store.parent.mkdir()
    store.write_bytes(b"this was a database once" * 500)
    told = _refused(store.parent)
    assert "error: the store is damaged (file is not a database): stop streamd" in told
    assert store.read_bytes() == b"this was a database once" * 500


@long_form
def test_damaged_outbox_costs_nothing_that_can_be_made_again(
    start_daemon: StartDaemon, start_camera: StartCamera
) -> None:
    """It is moved aside, and the session goes on after what the store knows to be delivered."""
    daemon = start_daemon()
    for name in ("door", "yard"):
        _search(daemon, name)
    cameras = [start_camera(daemon.port, name) for name in ("door", "yard")]
    wait_until(lambda: len(cameras[0].persisted) >= 4, what="fragments")
    outboxes = daemon.data_dir / "outbox"
    (path,) = list(outboxes.rglob("*door*.sqlite"))
    daemon.kill()
    for file in (path, *path.parent.glob(path.name + "-*")):
        file.unlink(missing_ok=True)
    path.write_bytes(b"\0" * 100_000)
    daemon.start()
    for camera in cameras:
        _wait_for_all(daemon, camera)
    # What was promised may have been delivered before the kill: the damage is found all the same.
    wait_until(lambda: "is damaged" in daemon.log(), what="the damage to be seen")
    assert list(path.parent.glob(path.name + ".damaged-*"))
    assert status_of(daemon, "door") == "RUNNING"
