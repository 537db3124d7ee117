"""Many stream processors on one machine: memory and threads stay bounded, nobody disturbs others.

``STREAMD_FAULTS=long`` starts 200 of them, else there are some dozens.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

from tests.faults.conftest import StartCamera, StartDaemon
from tests.support.daemon import Daemon, wait_until
from tests.support.live_camera import quiet_video
from tests.support.long_form import long_form
from tests.support.story import ROLE, create_face_search, status_of, wait_for_status

CROWD = int(os.environ.get("STREAMD_FAULTS_CROWD", "200"))
LIVELY = 4
"""So many of them have a camera that sends all the time; the others wait for theirs."""
MEASURE_SECONDS = 5.0
MAX_THREADS = 120
MAX_MIB_PER_IDLE_STREAM = 10
"""design.md: under 10 MB for an idle stream, over all processes."""


def _start_crowd(daemon: Daemon, count: int) -> list[str]:
    rekognition, video = daemon.client("rekognition"), daemon.client("kinesisvideo")
    create_face_search(daemon, "cam-0")
    names = ["cam-0"]
    for index in range(1, count):
        name = f"cam-{index}"
        arn = video.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"]
        rekognition.create_stream_processor(
            Name=name,
            Input={"KinesisVideoStream": {"Arn": arn}},
            Output={
                "KinesisDataStream": {
                    "Arn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}"
                }
            },
            Settings={"FaceSearch": {"CollectionId": "cam-0", "FaceMatchThreshold": 85}},
            RoleArn=ROLE,
        )
        names.append(name)
    return names


def _memory_mib(daemon: Daemon) -> float:
    return sum(_status(pid, "VmRSS") for pid in (daemon.pid, *daemon.worker_pids())) / 1024


def _threads(daemon: Daemon) -> int:
    return max(_status(pid, "Threads") for pid in (daemon.pid, *daemon.worker_pids()))


def _status(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field + ":")))


def _lag_seconds(daemon: Daemon, names: list[str]) -> float:
    """Return the worst age that a newest frame had, over a while, at these processors."""
    worst: dict[str, list[float]] = {name: [] for name in names}
    end = time.monotonic() + MEASURE_SECONDS
    while time.monotonic() < end:
        _, text = daemon.get("/metrics")
        for name in names:
            prefix = f'streamd_stream_lag_seconds{{stream_processor="{name}"}} '
            worst[name] += [
                float(line.removeprefix(prefix))
                for line in text.splitlines()
                if line.startswith(prefix)
            ]
        time.sleep(0.25)
    assert all(worst.values()), "a lively processor has no frames"
    return max(statistics.median(each) for each in worst.values())


@long_form
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hundreds_of_processors_stay_within_bounds(
    start_daemon: StartDaemon, start_camera: StartCamera
) -> None:
    """Their memory is that of their packets, their threads are those of the cores."""
    daemon = start_daemon(
        STREAMD_LIMITS__FACE_SEARCH_SESSIONS=CROWD, STREAMD_STORE__LEASE_SECONDS=10
    )
    names = _start_crowd(daemon, CROWD)
    rekognition = daemon.client("rekognition")
    lively = names[:LIVELY]
    for name in lively:
        rekognition.start_stream_processor(Name=name)
    for name in lively:
        wait_for_status(daemon, name, "RUNNING")
        start_camera(daemon.port, name, video=quiet_video(fps=5))
    wait_until(lambda: all(daemon.records(name) for name in lively), what="records")
    few_mib, few_lag = _memory_mib(daemon), _lag_seconds(daemon, lively)

    started = time.monotonic()
    for name in names[LIVELY:]:
        rekognition.start_stream_processor(Name=name)
    for name in names:
        wait_for_status(daemon, name, "RUNNING", seconds=120)
    seconds = time.monotonic() - started
    many_mib, many_lag, threads = (
        _memory_mib(daemon),
        _lag_seconds(daemon, lively),
        _threads(daemon),
    )
    per_stream = (many_mib - few_mib) / (CROWD - LIVELY)
    print(
        f"{CROWD} processors started in {seconds:.0f} s; {few_mib:.0f} -> {many_mib:.0f} MiB "
        f"({per_stream:.2f} MiB each), {threads} threads at most, "
        f"lag {few_lag * 1000:.0f} -> {many_lag * 1000:.0f} ms"
    )
    assert per_stream < MAX_MIB_PER_IDLE_STREAM
    assert threads < MAX_THREADS
    assert many_lag < few_lag + 0.3
    assert daemon.metric("streamd_worker_restarts_total") == 0


def test_bad_neighbours_do_not_move_the_latency_of_others(
    start_daemon: StartDaemon, start_camera: StartCamera
) -> None:
    """One camera sends garbage, one stalls, one sends 60 pictures a second."""
    daemon = start_daemon()
    names = _start_crowd(daemon, 6)
    good, garbage, stalled, fast = names[:3], *names[3:]
    for name in names:
        daemon.client("rekognition").start_stream_processor(Name=name)
    for name in names:
        wait_for_status(daemon, name, "RUNNING")
    for name in good:
        start_camera(daemon.port, name, video=quiet_video(fps=5))
    wait_until(lambda: all(daemon.records(name) for name in good), what="records")
    before = _lag_seconds(daemon, good)
    noise = start_camera(daemon.port, garbage)
    silence = start_camera(daemon.port, stalled)
    start_camera(daemon.port, fast, video=quiet_video(fps=60))
    wait_until(lambda: daemon.records(fast), what="records of the fast one")
    noise.garbage.set()
    silence.stalled.set()
    after = _lag_seconds(daemon, good)
    print(f"lag of the others {before * 1000:.0f} -> {after * 1000:.0f} ms")
    assert after < before + 0.3
    assert {status_of(daemon, name) for name in names} == {"RUNNING"}
    assert noise.connections >= 2
    assert "Traceback" not in daemon.log()
