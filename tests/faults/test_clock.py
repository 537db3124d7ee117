"""A wall clock that jumps by hours under a running daemon: nothing lost, nothing thrown away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.conftest import StartCamera
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.ledger import audit
from tests.support.story import create_face_search, status_of, wait_for_status

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
SLEEPS = Path(__file__).parents[1] / "support" / "faketime"
"""On the path of the daemon's modules: see there."""
pytestmark = pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (Debian: faketime)")


class WallClock:
    """The clock of a daemon's processes, by way of a file that libfaketime reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set_ahead(0)

    def set_ahead(self, hours: int) -> None:
        """Set it so many hours before what it should be, negative for behind."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(f"{hours:+d}h\n")
        draft.replace(self._path)

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to live by it; durations stay true."""
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Else it waits for a semaphore that others of this machine may hold.
            "FAKETIME_DISABLE_SHM": "1",
            "PYTHONPATH": str(SLEEPS),
        }


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    return WallClock(tmp_path_factory.mktemp("clock") / "faketime")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, clock: WallClock) -> Iterator[Daemon]:
    settings = {
        "STREAMD_SERVER__WORKERS": "1",
        "STREAMD_STORE__LEASE_SECONDS": "2",
        **clock.env,
    }
    with running_daemon(tmp_path_factory.mktemp("daemon") / "data", settings) as running:
        yield running


@contextlib.contextmanager
def _ahead(clock: WallClock, hours: int) -> Iterator[None]:
    clock.set_ahead(hours)
    try:
        yield
    finally:
        clock.set_ahead(0)


def _fragments(daemon: Daemon, stream: str) -> set[str]:
    """Return the numbers of all fragments in a stream's archive."""
    client = daemon.client("kinesis-video-archived-media")
    now = datetime.now(UTC)
    selector = {
        "FragmentSelectorType": "SERVER_TIMESTAMP",
        "TimestampRange": {
            "StartTimestamp": now - timedelta(days=9),
            "EndTimestamp": now + timedelta(days=9),
        },
    }
    pages = client.get_paginator("list_fragments").paginate(
        StreamName=stream, FragmentSelector=selector
    )
    return {item["FragmentNumber"] for page in pages for item in page["Fragments"]}


@pytest.mark.parametrize("hours", [pytest.param(30, id="forward"), pytest.param(-30, id="back")])
def test_jump_of_the_clock_costs_nothing(
    daemon: Daemon, start_camera: StartCamera, clock: WallClock, hours: int
) -> None:
    """Video is kept, records come for every fragment, in order, there and back again."""
    name = f"cam{hours}"
    create_face_search(daemon, name)  # the stream keeps its video for an hour
    daemon.client("rekognition").start_stream_processor(Name=name)
    wait_for_status(daemon, name, "RUNNING")
    camera = start_camera(daemon.port, name)
    wait_until(lambda: len(daemon.records(name)) >= 5, what="first records")
    with _ahead(clock, hours):
        before = len(camera.persisted)
        wait_until(lambda: len(camera.persisted) >= before + 4, what="fragments meanwhile")
        if hours > 0:
            jumped = "the clock has jumped ahead by"
            wait_until(lambda: jumped in daemon.log(), what="retention to see the jump")
        missing = set(camera.persisted[:before]) - _fragments(daemon, name)
        assert not missing
    before = len(camera.persisted)
    wait_until(lambda: len(camera.persisted) >= before + 4, what="fragments afterwards")
    promised = camera.stop()
    wait_until(lambda: not audit(daemon.records(name), promised).lost, what="all records")
    assert audit(daemon.records(name), promised).is_ordered
    assert status_of(daemon, name) == "RUNNING"
    assert set(promised) <= _fragments(daemon, name)
    assert "Traceback" not in daemon.log()
