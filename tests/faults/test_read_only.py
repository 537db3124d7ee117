"""A data directory that turns read-only under a running daemon, as a failing disk's does."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.faults.conftest import StartCamera
from tests.support.daemon import running_daemon, wait_until
from tests.support.ledger import audit
from tests.support.story import create_face_search, status_of, wait_for_status


def _chattr(flag: str, path: Path) -> None:
    subprocess.run(["chattr", "-R", "-f", flag, str(path)], check=False, timeout=60)


@contextlib.contextmanager
def _read_only(path: Path) -> Iterator[None]:
    """Nothing below can be written, by open files neither; files may be gone in the meantime."""
    _chattr("+i", path)
    try:
        yield
    finally:
        _chattr("-i", path)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory where even root's open files can be made unwritable."""
    if shutil.which("chattr") is None:
        pytest.skip("needs chattr (e2fsprogs)")
    probe = tmp_path / "probe"
    with probe.open("wb", buffering=0) as file:
        file.write(b"a")
        with _read_only(probe), contextlib.suppress(PermissionError):
            file.write(b"b")
            pytest.skip("this file system, or user, cannot make open files unwritable")
    return tmp_path / "data"


def test_read_only_data_directory_is_survived(data_dir: Path, start_camera: StartCamera) -> None:
    """The API and PutMedia answer errors; writable again, all goes on and nothing is lost."""
    settings = {"STREAMD_SERVER__WORKERS": "1", "STREAMD_STORE__LEASE_SECONDS": "2"}
    with running_daemon(data_dir, settings) as daemon:
        create_face_search(daemon, "door")
        daemon.client("rekognition").start_stream_processor(Name="door")
        wait_for_status(daemon, "door", "RUNNING")
        camera = start_camera(daemon.port, "door")
        wait_until(lambda: len(camera.persisted) >= 3, what="fragments")
        with _read_only(data_dir):
            # Leases end meanwhile, the camera is turned away, results cannot be kept.
            refused = camera.connections + 10
            wait_until(
                lambda: camera.connections >= refused or daemon.exit_code is not None,
                what="the camera to be refused",
            )
            if daemon.exit_code is None:
                assert daemon.get("/healthz")[0] == 200
                with pytest.raises(ClientError) as caught:
                    daemon.client("rekognition").create_collection(CollectionId="late")
                assert caught.value.response["Error"]["Code"] == "InternalServerError"
                assert "fragment not archived" in daemon.log()
        if daemon.exit_code is not None:
            assert daemon.exit_code == -signal.SIGBUS
            # SQLite keeps its shared memory in a file: a process that cannot write there gets
            # SIGBUS. Workers are replaced by the daemon, the daemon by its service manager.
            daemon.start()
        before = len(camera.persisted)
        wait_until(lambda: len(camera.persisted) >= before + 4, seconds=60, what="fragments")
        promised = camera.stop()
        wait_until(
            lambda: not audit(daemon.records("door"), promised).lost, seconds=60, what="all records"
        )
        assert audit(daemon.records("door"), promised).is_ordered
        assert status_of(daemon, "door") == "RUNNING"
        assert daemon.terminate() == 0
