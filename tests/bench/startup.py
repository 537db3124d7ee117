"""What a daemon costs before there is anything to do: time to start, time to a record, memory."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.clips import Clip
from tests.bench.processes import cpu_seconds, pss_mb, threads
from tests.bench.rows import Pack
from tests.bench.sender import lateness_ms, start_sender
from tests.support.daemon import Daemon, wait_until
from tests.support.story import create_face_search, wait_for_status

__all__ = ["Startup", "measure_startup"]

REST_SECONDS = 3.0
IDLE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Startup:
    """From the start of the process on."""

    ready_seconds: float
    """To /readyz."""
    first_record_seconds: float
    """From a camera's first frame to its record, networks loaded on the way."""
    idle_control_mb: float
    idle_worker_mb: float
    idle_threads: int
    """Of both processes."""
    idle_cpu_seconds_per_second: float


def measure_startup(clip: Clip, pack: Pack) -> Startup:
    """Start a daemon with one worker, leave it alone, then show it a camera."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder) / "data", pack.environment())
        try:
            started = time.monotonic()
            daemon.start()
            ready = time.monotonic() - started
            time.sleep(REST_SECONDS)
            (worker,) = daemon.worker_pids()
            pids = (daemon.pid, worker)
            cpu = cpu_seconds(pids)
            time.sleep(IDLE_SECONDS)
            cpu = cpu_seconds(pids) - cpu
            memory = pss_mb([daemon.pid]), pss_mb([worker])
            count = threads(daemon.pid) + threads(worker)
            first = _first_record(daemon, clip)
        finally:
            daemon.stop()
    return Startup(
        ready_seconds=ready,
        first_record_seconds=first,
        idle_control_mb=memory[0],
        idle_worker_mb=memory[1],
        idle_threads=count,
        idle_cpu_seconds_per_second=cpu / IDLE_SECONDS,
    )


def _first_record(daemon: Daemon, clip: Clip) -> float:
    create_face_search(daemon, "bench", stream="camera")
    daemon.client("rekognition").start_stream_processor(Name="bench")
    wait_for_status(daemon, "bench", "RUNNING")
    sender, start_ms = start_sender(daemon.port, clip.path, ["camera"], seconds=10)
    wait_until(lambda: daemon.records("bench"), seconds=60, what="the first record")
    seconds = time.time() - start_ms / 1000
    lateness_ms(sender, seconds=60)
    return seconds
