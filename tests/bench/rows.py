"""What is measured, each in CPU seconds per second of video."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processors.labels import LabelAnalyzer
from streamd.ingest.decode import Decoder
from streamd.kvs.fragments import FragmentReader, Packet
from tests.support.daemon import Daemon, running_daemon
from tests.support.media import Video, get_media_body
from tests.support.producer import now_ms, put_video
from tests.support.story import create_labels, wait_for_status

__all__ = ["Row", "measure_floor", "measure_loop", "measure_streamd"]

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    cpu_seconds_per_second: float
    analyzed_frames: int
    detections: int
    parts: dict[str, float]
    """What the figure is made of, where that is known."""


def _packets(video: Video) -> list[Packet]:
    return [e for e in FragmentReader().feed(get_media_body(video)) if isinstance(e, Packet)]


def measure_floor(video: Video, seconds: int, analyzer: LabelAnalyzer, fps: int) -> Row:
    """Decoding every frame alone, plus scaling and inference of the analysed frames alone."""
    packets = _packets(video)
    started = time.process_time()
    decoder = Decoder()
    decoded = sum(1 for _ in decoder.decode(packets)) + sum(1 for _ in decoder.drain())
    decode = time.process_time() - started

    decoder = Decoder()
    inference, analyzed, found = 0.0, 0, 0
    for index, frame in enumerate(decoder.decode(packets)):
        if index % (30 // fps) == 0:
            started = time.process_time()
            found += len(analyzer.detect(frame))
            inference += time.process_time() - started
            analyzed += 1
    assert decoded >= seconds * 30 - 1, f"only {decoded} frames were decoded"
    return Row(
        name="floor",
        cpu_seconds_per_second=(decode + inference) / seconds,
        analyzed_frames=analyzed,
        detections=found,
        parts={"decode": decode / seconds, "inference": inference / seconds},
    )


def measure_streamd(video: Video, seconds: int, fps: int, labels: str, models: Path) -> Row:
    """The daemon as shipped, from PutMedia in real time to the sink: all threads, all processes."""
    env = {
        "STREAMD_SERVER__WORKERS": "1",
        "STREAMD_ANALYSIS__FPS": str(fps),
        "STREAMD_MODELS__LABELS": labels,
        "STREAMD_MODELS__DIR": str(models),
        "STREAMD_SHARED": os.environ.get("STREAMD_SHARED", "../shared"),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        running_daemon(Path(folder) / "data", env) as daemon,
    ):
        stream = daemon.client("kinesisvideo").create_stream(
            StreamName="bench", DataRetentionInHours=1
        )["StreamARN"]
        create_labels(daemon, "bench", stream)
        # A first session loads the networks, which a daemon does once in its life.
        _session(daemon, video, 2, real_time=False)
        before, analyzed = _cpu_seconds(daemon), daemon.metric("streamd_frames_analyzed_total")
        found = daemon.metric("streamd_detections_total")
        _session(daemon, video, seconds, real_time=True)
        return Row(
            name="streamd",
            cpu_seconds_per_second=(_cpu_seconds(daemon) - before) / seconds,
            analyzed_frames=int(daemon.metric("streamd_frames_analyzed_total") - analyzed),
            detections=int(daemon.metric("streamd_detections_total") - found),
            parts={},
        )


def _session(daemon: Daemon, video: Video, seconds: int, *, real_time: bool) -> None:
    start_ms = now_ms()
    part = Video(
        track=video.track, packets=tuple(p for p in video.packets if p.pts_ms < seconds * 1000)
    )
    rekognition = daemon.client("rekognition")
    rekognition.start_stream_processor(
        Name="bench",
        StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": start_ms}},
        StopSelector={"MaxDurationInSeconds": min(120, seconds)},
    )
    put_video(daemon.port, "bench", part, start_ms=start_ms, real_time=real_time)
    wait_for_status(daemon, "bench", "STOPPED", seconds=60)


def _cpu_seconds(daemon: Daemon) -> float:
    """User and system time of the control process and its workers."""
    total = 0
    for pid in (daemon.pid, *daemon.worker_pids()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def measure_loop(clip: Path, seconds: int, fps: int, network: Path) -> Row | None:
    """What a user writes first: OpenCV VideoCapture, resize, onnxruntime with its defaults."""
    code = Path(__file__).with_name("loop.py")
    done = subprocess.run(
        [sys.executable, str(code), str(clip), str(network), str(30 // fps)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return None
    cpu, analyzed = done.stdout.split()
    return Row(
        name="loop",
        cpu_seconds_per_second=float(cpu) / seconds,
        analyzed_frames=int(analyzed),
        detections=-1,
        parts={},
    )
