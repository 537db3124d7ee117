"""Daemons that are stopped, killed and started again: nothing promised is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.producer import put_video
from tests.support.scenes import face_video
from tests.support.story import create_face_search, status_of, wait_for_status


@pytest.fixture
def own_daemon(data_dir: Path) -> Iterator[Daemon]:
    """A daemon this test may kill, with two workers."""
    daemon = Daemon(data_dir, {"STREAMD_SERVER__WORKERS": "2", "STREAMD_STORE__LEASE_SECONDS": "2"})
    try:
        yield daemon.start()
    finally:
        daemon.stop()


def _positions(records: list[dict[str, Any]]) -> list[tuple[str, float]]:
    videos = [record["InputInformation"]["KinesisVideo"] for record in records]
    return [(v["FragmentNumber"], v["FrameOffsetInSeconds"]) for v in videos]


def _fragments(acks: list[dict[str, Any]]) -> list[str]:
    return [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]


def test_sigterm_drains_and_a_restart_goes_on(own_daemon: Daemon) -> None:
    """SIGTERM exits 0; after the restart the processor runs and misses nothing sent before."""
    create_face_search(own_daemon, "cam")
    own_daemon.client("rekognition").start_stream_processor(Name="cam")
    wait_for_status(own_daemon, "cam", "RUNNING")
    fragments = _fragments(put_video(own_daemon.port, "cam", face_video(4.0)))

    assert own_daemon.terminate() == 0
    assert "Traceback" not in own_daemon.log()
    own_daemon.start()
    wait_until(lambda: len(own_daemon.records("cam")) >= 20, what="all records")
    positions = _positions(own_daemon.records("cam"))
    assert positions == sorted(set(positions))
    assert {number for number, _ in positions} == set(fragments)
    assert status_of(own_daemon, "cam") == "RUNNING"


def test_killed_daemon_loses_nothing_it_promised(own_daemon: Daemon) -> None:
    """kill -9 while media arrives: every fragment acknowledged PERSISTED gets its records."""
    create_face_search(own_daemon, "cam")
    own_daemon.client("rekognition").start_stream_processor(Name="cam")
    wait_for_status(own_daemon, "cam", "RUNNING")
    fragments = _fragments(put_video(own_daemon.port, "cam", face_video(4.0), repeat=3))

    own_daemon.kill()
    own_daemon.start()
    fragments += _fragments(put_video(own_daemon.port, "cam", face_video(4.0)))
    wait_until(
        lambda: {n for n, _ in _positions(own_daemon.records("cam"))} >= set(fragments),
        seconds=40,
        what="records of every fragment",
    )
    positions = _positions(own_daemon.records("cam"))
    wait_until(lambda: len(set(_positions(own_daemon.records("cam")))) == 80, what="80 frames")
    # At least once and in order: a repeat may follow the crash, a step back beyond it may not.
    firsts = list(dict.fromkeys(positions))
    assert firsts == sorted(firsts)


def test_crashed_worker_costs_its_sessions_seconds(own_daemon: Daemon) -> None:
    """A worker that is killed is replaced, its sessions go on, and no fragment is missed."""
    create_face_search(own_daemon, "cam")
    own_daemon.client("rekognition").start_stream_processor(Name="cam")
    wait_for_status(own_daemon, "cam", "RUNNING")
    acks: list[dict[str, Any]] = []
    camera = threading.Thread(
        target=lambda: acks.extend(
            put_video(own_daemon.port, "cam", face_video(4.0), real_time=True, repeat=2)
        )
    )
    camera.start()
    wait_until(lambda: own_daemon.records("cam"), what="first records")
    for pid in own_daemon.worker_pids():
        os.kill(pid, signal.SIGKILL)
    camera.join()
    fragments = _fragments(acks)
    assert len(fragments) == 8
    wait_until(lambda: len(set(_positions(own_daemon.records("cam")))) == 40, what="records of 8 s")
    assert {n for n, _ in _positions(own_daemon.records("cam"))} == set(fragments)
    assert status_of(own_daemon, "cam") == "RUNNING"
    assert own_daemon.metric("streamd_worker_restarts_total") == 2


def test_two_daemons_do_not_share_a_data_directory(own_daemon: Daemon) -> None:
    """The second one says what is wrong and what to do, in one line."""
    second = subprocess.run(
        [
            *(sys.executable, "-m", "streamd", "serve"),
            *("--data-dir", str(own_daemon.data_dir), "--listen", "127.0.0.1:0"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 2
    assert "another streamd serves" in second.stderr + second.stdout
    assert "Traceback" not in second.stderr


def test_sessions_can_run_in_the_control_process(data_dir: Path) -> None:
    """server.workers = 0 runs everything in one process."""
    daemon = Daemon(data_dir, {"STREAMD_SERVER__WORKERS": "0"})
    try:
        daemon.start()
        assert daemon.worker_pids() == []
        create_face_search(daemon, "cam")
        daemon.client("rekognition").start_stream_processor(Name="cam")
        wait_for_status(daemon, "cam", "RUNNING")
        put_video(daemon.port, "cam", face_video(1.0))
        wait_until(lambda: len(daemon.records("cam")) == 5, what="5 records")
        assert daemon.terminate() == 0
    finally:
        daemon.stop()
