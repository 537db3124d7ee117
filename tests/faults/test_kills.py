"""kill -9 at random moments under load: nothing promised is missing, and all of it is in order.

``STREAMD_FAULTS_KILLS`` sets how many there are (100 in the long run).
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.faults.conftest import StartCamera, StartDaemon
from tests.support.daemon import Daemon, wait_until
from tests.support.ledger import audit
from tests.support.story import create_face_search, status_of, wait_for_status

KILLS = int(os.environ.get("STREAMD_FAULTS_KILLS", "4"))
RECORDS_PER_FRAGMENT = 2
"""Half a second at 5 analysed frames a second; a fragment cut short has fewer frames."""


def _start_searches(daemon: Daemon, *names: str) -> None:
    for name in names:
        create_face_search(daemon, name)
        daemon.client("rekognition").start_stream_processor(Name=name)
    for name in names:
        wait_for_status(daemon, name, "RUNNING")


def _kill_something(daemon: Daemon, dice: random.Random) -> str:
    """Kill the daemon, all of its workers, or one."""
    choice = dice.choice(("control", "worker", "worker", "workers"))
    workers = daemon.worker_pids()
    if choice == "control":
        daemon.kill()
        daemon.start()
        return choice
    dice.shuffle(workers)
    for pid in workers if choice == "workers" else workers[:1]:
        os.kill(pid, signal.SIGKILL)
    return choice


@pytest.mark.timeout(120 + 10 * KILLS)
def test_kills_at_random_moments(start_daemon: StartDaemon, start_camera: StartCamera) -> None:
    """Control process and workers die again and again; every fragment has its records, in order."""
    seed = int(os.environ.get("STREAMD_FAULTS_SEED", random.randrange(10**6)))
    print(f"STREAMD_FAULTS_SEED={seed}")
    dice = random.Random(seed)
    names = ("door", "yard")
    daemon = start_daemon()
    _start_searches(daemon, *names)
    cameras = {name: start_camera(daemon.port, name) for name in names}
    killed: list[str] = []
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.2, 1.5))
        killed.append(_kill_something(daemon, dice))
    promised = {name: camera.stop() for name, camera in cameras.items()}

    def missing() -> set[str]:
        return {n for name in names for n in audit(daemon.records(name), promised[name]).lost}

    wait_until(lambda: not missing(), seconds=60, what=f"records of every fragment after {killed}")
    for name in names:
        daemon.client("rekognition").stop_stream_processor(Name=name)
        wait_for_status(daemon, name, "STOPPED")
        ledger = audit(daemon.records(name), promised[name], per_fragment=RECORDS_PER_FRAGMENT)
        print(name, len(ledger.promised), "fragments", ledger.records, "records", killed)
        assert ledger.promised, "the camera sent nothing that was kept"
        assert (ledger.lost, ledger.thin, ledger.is_ordered) == (frozenset(), {}, True)
    assert "Traceback" not in daemon.log()


def test_sigterm_under_load_drains_within_the_grace_period(
    start_daemon: StartDaemon, start_camera: StartCamera
) -> None:
    """Cameras that go on sending do not keep the daemon up; nothing of what it took is lost."""
    daemon = start_daemon(STREAMD_SERVER__DRAIN_SECONDS=10)
    _start_searches(daemon, "door")
    camera = start_camera(daemon.port, "door")
    wait_until(lambda: daemon.records("door"), what="first records")
    assert daemon.terminate() == 0
    assert "did not drain" not in daemon.log()
    daemon.start()
    wait_until(lambda: camera.connections >= 2, what="the camera to come back")
    promised = camera.stop()
    wait_until(lambda: not audit(daemon.records("door"), promised).lost, what="all records")
    assert audit(daemon.records("door"), promised).is_ordered
    assert status_of(daemon, "door") == "RUNNING"
