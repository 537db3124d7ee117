"""How long a frame takes from its arrival to its record in the sink, seen from outside.

A face search makes a record for every analysed frame. The camera sends each frame at the moment
that its producer timestamp says; the records come to the local sink's file, which is watched.
A sender that is late itself makes the figure worse, never better.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.clips import Clip
from tests.bench.rows import Pack
from tests.bench.sender import lateness_ms, start_sender
from tests.support.daemon import running_daemon
from tests.support.story import create_face_search, wait_for_status

__all__ = ["Latency", "measure_latency", "quantile"]

LOOK_SECONDS = 0.002
SETTLE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds from a frame's arrival to its record, on one clip."""

    clip: str
    records: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    sender_p99_ms: float
    """How late the sender was, which is part of the others."""


def measure_latency(clip: Clip, pack: Pack, *, seconds: float) -> Latency:
    """Serve one camera in real time for so long, after some seconds to settle."""
    models = pack.models
    faces = "yunet-retail0095" if (models / "face_detection_yunet_n.onnx").is_file() else "builtin"
    environment = {**pack.environment(), "STREAMD_MODELS__FACES": faces}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_daemon(Path(folder) / "data", environment) as daemon,
    ):
        create_face_search(daemon, "bench", stream="camera")
        daemon.client("rekognition").start_stream_processor(Name="bench")
        wait_for_status(daemon, "bench", "RUNNING")
        sender, start_ms = start_sender(
            daemon.port, clip.path, ["camera"], seconds=SETTLE_SECONDS + seconds
        )
        file = daemon.data_dir / "outputs" / "kinesis" / "bench.jsonl"
        arrived = _watch(file, until=start_ms / 1000 + SETTLE_SECONDS + seconds + 2)
        late = lateness_ms(sender, seconds=60)
    begin = start_ms / 1000 + SETTLE_SECONDS
    times = sorted((at - due) * 1000 for due, at in arrived if due >= begin)
    return Latency(
        clip=clip.name,
        records=len(times),
        p50_ms=statistics.median(times),
        p95_ms=quantile(times, 0.95),
        p99_ms=quantile(times, 0.99),
        sender_p99_ms=late,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the sorted values that so large a share does not exceed."""
    return values[max(0, min(len(values) - 1, -(-int(len(values) * share * 1000) // 1000) - 1))]


def _watch(file: Path, *, until: float) -> list[tuple[float, float]]:
    """Return, for each record, when its frame was due and when it was there."""
    found = []
    unfinished = b""
    position = 0
    while time.time() < until:
        time.sleep(LOOK_SECONDS)
        if not file.is_file() or file.stat().st_size == position:
            continue
        now = time.time()
        with file.open("rb") as source:
            source.seek(position)
            data = unfinished + source.read()
            position = source.tell()
        *lines, unfinished = data.split(b"\n")
        found += [(_due(json.loads(line)), now) for line in lines]
    return found


def _due(record: dict[str, Any]) -> float:
    video = record["InputInformation"]["KinesisVideo"]
    return float(video["ProducerTimestamp"] + video["FrameOffsetInSeconds"])
