"""How the cost grows with the number of cameras: CPU, memory, threads, lag of the event loops.

``idle`` is the 1080p30 clip of the table; ``small`` (320 x 180, 10 frames a second, one analysed
every two seconds) is what a camera costs beside decoding and analysis. Each camera has a stream
and a face search of its own. A number that real time does not allow on this machine is
extrapolated from the two largest that were measured, and marked.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.clips import Clip
from tests.bench.processes import cpu_seconds, pss_mb, threads
from tests.bench.rows import Pack
from tests.bench.sender import lateness_ms, start_sender
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.story import ROLE

__all__ = ["STREAMS", "GrowthRow", "extrapolated", "histogram_quantile", "measure_growth"]

STREAMS = (1, 4, 16, 64, 256)
BUSIEST = 0.85
"""Of the cores: a larger share cannot be relied on in real time."""
LAG = "streamd_event_loop_lag_seconds"


@dataclass(frozen=True, kw_only=True)
class GrowthRow:
    """So many cameras at once."""

    clip: str
    streams: int
    cpu_seconds_per_second: float
    """Of all streams together."""
    memory_mb: float
    threads: int
    worker_lag_p99_ms: float | None = None
    control_lag_p99_ms: float | None = None
    is_extrapolated: bool = False


def measure_growth(
    clip: Clip,
    pack: Pack,
    *,
    analyzed_fps: float,
    streams: Sequence[int],
    warm_up: float,
    seconds: float,
) -> list[GrowthRow]:
    """Measure one number after the other, and extrapolate those that would not keep up."""
    rows: list[GrowthRow] = []
    capacity = len(os.sched_getaffinity(0)) * BUSIEST
    for count in streams:
        measured = [row for row in rows if not row.is_extrapolated]
        if measured and extrapolated(measured, count).cpu_seconds_per_second > capacity:
            rows.append(extrapolated(measured, count))
            continue
        row = _measure(clip, pack, analyzed_fps, count, warm_up=warm_up, seconds=seconds)
        if measured and row.cpu_seconds_per_second > capacity:
            row = extrapolated(measured, count)
        rows.append(row)
    return rows


def extrapolated(measured: Sequence[GrowthRow], streams: int) -> GrowthRow:
    """Return what so many streams would cost, each as the last ones measured did."""
    last = measured[-1]
    before = measured[-2] if len(measured) > 1 else None

    def at(value: float, previous: float) -> float:
        if before is None:
            return value * streams / last.streams
        slope = (value - previous) / (last.streams - before.streams)
        return value + slope * (streams - last.streams)

    first = before or last
    return GrowthRow(
        clip=last.clip,
        streams=streams,
        cpu_seconds_per_second=at(last.cpu_seconds_per_second, first.cpu_seconds_per_second),
        memory_mb=at(last.memory_mb, first.memory_mb) if before else last.memory_mb,
        threads=last.threads,
        is_extrapolated=True,
    )


def _measure(
    clip: Clip, pack: Pack, fps: float, count: int, *, warm_up: float, seconds: float
) -> GrowthRow:
    names = [f"camera{index}" for index in range(count)]
    environment = {
        **pack.environment(),
        "STREAMD_ANALYSIS__FPS": str(fps),
        "STREAMD_LIMITS__FACE_SEARCH_SESSIONS": str(count),
        "STREAMD_ANALYSIS__MAX_SESSIONS_PER_WORKER": str(count),
    }
    if (pack.models / "face_detection_yunet_n.onnx").is_file():
        environment["STREAMD_MODELS__FACES"] = "yunet-retail0095"
    with (
        tempfile.TemporaryDirectory() as folder,
        running_daemon(Path(folder) / "data", environment) as daemon,
    ):
        _start(daemon, names)
        pids = (daemon.pid, *daemon.worker_pids())
        total = warm_up + seconds
        sender, start_ms = start_sender(daemon.port, clip.path, names, seconds=total + 2)
        time.sleep(max(0.0, start_ms / 1000 + warm_up - time.time()))
        cpu, lag = cpu_seconds(pids), daemon.get("/metrics")[1]
        time.sleep(max(0.0, start_ms / 1000 + total - time.time()))
        cpu = cpu_seconds(pids) - cpu
        after = daemon.get("/metrics")[1]
        row = GrowthRow(
            clip=clip.name,
            streams=count,
            cpu_seconds_per_second=cpu / seconds,
            memory_mb=pss_mb(pids),
            threads=sum(threads(pid) for pid in pids),
            worker_lag_p99_ms=_lag_ms(lag, after, "worker"),
            control_lag_p99_ms=_lag_ms(lag, after, "control"),
        )
        lateness_ms(sender, seconds=120)
    return row


def _start(daemon: Daemon, names: Sequence[str]) -> None:
    rekognition, video = daemon.client("rekognition"), daemon.client("kinesisvideo")
    rekognition.create_collection(CollectionId="bench")
    for name in names:
        arn = video.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"]
        rekognition.create_stream_processor(
            Name=name,
            Input={"KinesisVideoStream": {"Arn": arn}},
            Output={
                "KinesisDataStream": {
                    "Arn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}"
                }
            },
            Settings={"FaceSearch": {"CollectionId": "bench"}},
            RoleArn=ROLE,
        )
        rekognition.start_stream_processor(Name=name)
    wait_until(
        lambda: daemon.metric("streamd_sessions") >= len(names), seconds=120, what="all sessions"
    )


def _lag_ms(before: str, after: str, process: str) -> float | None:
    counts = {
        bound: count - _buckets(before, process).get(bound, 0.0)
        for bound, count in _buckets(after, process).items()
    }
    found = histogram_quantile(counts, 0.99)
    return None if found is None else found * 1000


def _buckets(text: str, process: str) -> dict[float, float]:
    found: dict[float, float] = {}
    for line in text.splitlines():
        match = re.match(rf"{LAG}_bucket{{([^}}]*)}} (\S+)", line)
        if match is None or f'process="{process}"' not in match[1]:
            continue
        bound = re.search(r'le="([^"]+)"', match[1])
        assert bound is not None, line
        found[float(bound[1])] = found.get(float(bound[1]), 0.0) + float(match[2])
    return found


def histogram_quantile(counts: Mapping[float, float], share: float) -> float | None:
    """Return a quantile of cumulative counts by upper bound, linear inside a bucket."""
    bounds = sorted(counts)
    if not bounds or counts[bounds[-1]] <= 0:
        return None
    wanted = share * counts[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - below) / (counts[bound] - below)
        low, below = bound, counts[bound]
    return low
