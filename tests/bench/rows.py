"""The rows of the table, each in CPU seconds per second of video.

``floor`` works a clip off as fast as it can. All others run in real time, as a live camera is
served: that costs more than a backlog does, for the processor's caches are cold every time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.labels import LabelAnalyzer
from streamd.config import Settings
from streamd.ingest.decode import Decoder
from streamd.kvs.fragments import FragmentReader, Packet
from tests.bench.clips import Clip
from tests.bench.detections import Detection
from tests.bench.plain import MIN_CONFIDENCE
from tests.bench.processes import cpu_seconds, pss_mb
from tests.bench.sender import lateness_ms, start_sender
from tests.support.daemon import Daemon, running_daemon
from tests.support.media import get_media_body
from tests.support.story import create_stream, wait_for_status

__all__ = [
    "ABLATIONS",
    "Pack",
    "Row",
    "SkippedError",
    "ablations",
    "measure_floor",
    "measure_loop",
    "measure_pipe",
    "measure_streamd",
]

ANALYZED_FPS = 5
ABLATIONS: Mapping[str, tuple[str, str, str]] = {
    # row: section, setting and the value that turns the step off
    "streamd -gate": ("analysis", "gate", "none"),
    "streamd -still": ("analysis", "skip_still", "false"),
    "streamd -disposable": ("analysis", "skip_disposable", "false"),
    "streamd -gather": ("kinesis_video", "gather_seconds", "0"),
}
"""What the daemon does to save work, each step off by itself."""

ROOT = Path(__file__).parents[2]


class SkippedError(Exception):
    """A row cannot be measured here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The detector all rows use."""

    name: str
    models: Path

    def environment(self) -> dict[str, str]:
        """Return the settings of a daemon with it."""
        return {
            "STREAMD_SERVER__WORKERS": "1",
            "STREAMD_ANALYSIS__FPS": str(ANALYZED_FPS),
            "STREAMD_MODELS__LABELS": self.name,
            "STREAMD_MODELS__DIR": str(self.models),
        }


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one way costs on one clip."""

    clip: str
    row: str
    cpu_seconds_per_second: float
    analyzed_frames: int
    """In ``seconds``."""
    seconds: float
    """Of video the figures are of."""
    memory_mb: float | None = None
    """Of all its processes, for this one stream."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """What the cost is made of, where that is known."""
    found: Sequence[Detection] = ()
    compared_seconds: float = 0.0
    """Of video that ``found`` is of."""


def ablations() -> dict[str, dict[str, str]]:
    """Return the rows of steps that this daemon has, and the environment that turns each off."""
    return {
        row: {f"STREAMD_{section.upper()}__{setting.upper()}": value}
        for row, (section, setting, value) in ABLATIONS.items()
        if setting in type(getattr(Settings(), section)).model_fields
    }


def measure_floor(clip: Clip, analyzer: LabelAnalyzer) -> Row:
    """Decoding every frame alone, plus scaling and inference of the analysed frames alone."""
    recipe = clip.recipe
    body = get_media_body(clip.video())
    packets = [e for e in FragmentReader().feed(body) if isinstance(e, Packet)]
    started = time.process_time()
    decoder = Decoder()
    for _ in decoder.decode(packets):
        pass
    for _ in decoder.drain():
        pass
    decode = time.process_time() - started
    assert decoder.stats.frames == recipe.seconds * recipe.fps, decoder.stats

    decoder = Decoder()
    inference, found, index = 0.0, [], 0
    every = recipe.fps // ANALYZED_FPS
    for frames in (decoder.decode(packets), decoder.drain()):
        for frame in frames:
            if index % every == 0:
                started = time.process_time()
                labels = analyzer.detect(frame, min_confidence_percent=MIN_CONFIDENCE)
                inference += time.process_time() - started
                boxes = [each.box for each in labels if each.name == "PERSON"]
                time_ms = round(index * 1000 / recipe.fps)
                found += [_detection(time_ms, b.left, b.top, b.width, b.height) for b in boxes]
            index += 1
    seconds = recipe.seconds
    return Row(
        clip=clip.name,
        row="floor",
        cpu_seconds_per_second=(decode + inference) / seconds,
        analyzed_frames=seconds * ANALYZED_FPS,
        seconds=seconds,
        parts={"decode": decode / seconds, "inference": inference / seconds},
        found=found,
        compared_seconds=seconds,
    )


def measure_loop(clip: Clip, pack: Pack, *, seconds: float) -> Row:
    """What a user writes first: OpenCV VideoCapture, resize, onnxruntime with its defaults."""
    fps = clip.recipe.fps
    return _script("loop", clip, pack, seconds, str(fps), str(fps // ANALYZED_FPS), str(seconds))


def measure_pipe(clip: Clip, pack: Pack, *, seconds: float) -> Row:
    """An ffmpeg process with a pipe of raw video at the analysed rate, as recorders do it."""
    try:
        import imageio_ffmpeg

        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise SkippedError(f"there is no ffmpeg: {error}") from None
    return _script("pipe", clip, pack, seconds, str(ANALYZED_FPS), str(seconds), ffmpeg)


def _script(name: str, clip: Clip, pack: Pack, seconds: float, *more: str) -> Row:
    arguments = [str(clip.path), pack.name, str(pack.models), *more]
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SkippedError(done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}")
    answer = json.loads(done.stdout)
    return Row(
        clip=clip.name,
        row=name,
        cpu_seconds_per_second=answer["cpu"] / seconds,
        analyzed_frames=len(answer["found"]),
        seconds=seconds,
        memory_mb=answer["memory_mb"],
        found=[
            _detection(index * 1000 // ANALYZED_FPS, left, top, right - left, bottom - top)
            for index, boxes in enumerate(answer["found"])
            for left, top, right, bottom in boxes
        ],
        compared_seconds=seconds,
    )


def measure_streamd(
    clip: Clip,
    pack: Pack,
    *,
    row: str,
    environment: Mapping[str, str],
    warm_up: float,
    seconds: float,
) -> Row:
    """The daemon from PutMedia to the sink: all threads of all its processes.

    One label session lasts for warm-up and measurement. Networks are loaded in a session before
    it, as a daemon does once in its life; the gate learns during the warm-up.

    Args:
        clip: What the camera sends.
        pack: The detector.
        row: The row's name.
        environment: Settings that differ from those shipped.
        warm_up: Seconds of video before the measurement.
        seconds: Seconds of video that are measured; both together are at most 120.

    """
    with (
        tempfile.TemporaryDirectory() as folder,
        running_daemon(Path(folder) / "data", {**pack.environment(), **environment}) as daemon,
    ):
        arn = create_stream(daemon, "camera")
        _create_processor(daemon, arn)
        pids = (daemon.pid, *daemon.worker_pids())
        _session(daemon, clip, 2)
        start_ms, sender = _begin(daemon, clip, warm_up + seconds)
        _sleep_until(start_ms / 1000 + warm_up)
        cpu, analyzed = cpu_seconds(pids), daemon.metric("streamd_frames_analyzed_total")
        _sleep_until(start_ms / 1000 + warm_up + seconds)
        cpu = cpu_seconds(pids) - cpu
        analyzed = daemon.metric("streamd_frames_analyzed_total") - analyzed
        memory = pss_mb(pids)
        lateness_ms(sender, seconds=60)
        wait_for_status(daemon, "bench", "STOPPED", seconds=120)
        results = _results(daemon)
        return Row(
            clip=clip.name,
            row=row,
            cpu_seconds_per_second=cpu / seconds,
            analyzed_frames=int(analyzed),
            seconds=seconds,
            memory_mb=memory,
            found=[_of_result(label, start_ms) for label in results["labels"]],
            compared_seconds=warm_up + seconds,
        )


def _create_processor(daemon: Daemon, arn: str) -> None:
    daemon.client("rekognition").create_stream_processor(
        Name="bench",
        Input={"KinesisVideoStream": {"Arn": arn}},
        Output={"S3Destination": {"Bucket": "bench"}},
        NotificationChannel={"SNSTopicArn": "arn:aws:sns:us-east-1:000000000000:bench"},
        Settings={"ConnectedHome": {"Labels": ["PERSON"], "MinConfidence": MIN_CONFIDENCE}},
        RoleArn="arn:aws:iam::000000000000:role/streamd",
    )


def _begin(daemon: Daemon, clip: Clip, seconds: float) -> tuple[int, subprocess.Popen[bytes]]:
    sender, start_ms = start_sender(daemon.port, clip.path, ["camera"], seconds=seconds)
    daemon.client("rekognition").start_stream_processor(
        Name="bench",
        StartSelector={"KVSStreamStartSelector": {"ProducerTimestamp": start_ms}},
        StopSelector={"MaxDurationInSeconds": round(seconds)},
    )
    return start_ms, sender


def _session(daemon: Daemon, clip: Clip, seconds: float) -> None:
    _, sender = _begin(daemon, clip, seconds)
    lateness_ms(sender, seconds=60)
    wait_for_status(daemon, "bench", "STOPPED", seconds=120)


def _sleep_until(epoch: float) -> None:
    time.sleep(max(0.0, epoch - time.time()))


def _results(daemon: Daemon) -> dict[str, Any]:
    files = (daemon.data_dir / "outputs" / "s3").rglob("results.json")
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    answer: dict[str, Any] = json.loads(newest.read_text())
    return answer


def _of_result(label: dict[str, Any], start_ms: int) -> Detection:
    video = label["videoMapping"]["kinesisVideoMapping"]
    time_ms = video["producerTimestamp"] + video["frameOffsetMillis"] - start_ms
    box = label["boundingBox"]
    return _detection(time_ms, box["left"], box["top"], box["width"], box["height"])


def _detection(time_ms: int, left: float, top: float, width: float, height: float) -> Detection:
    edges = (left, top, left + width, top + height)
    return Detection(time_ms=time_ms, label="PERSON", edges=edges)
