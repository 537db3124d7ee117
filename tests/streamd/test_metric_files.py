"""The files behind metrics: summed over processes, folded when one ends, bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from streamd.metric_files import MULTIPROC_ENV

_COUNT = """
import os, sys
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from streamd import metric_files
from streamd.metrics import Metrics
metrics = Metrics(CollectorRegistry())
def show():
    print(generate_latest(MultiProcessCollector(None)).decode())
"""


def _run(folder: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _COUNT + program],
        env={MULTIPROC_ENV: str(folder)},
        check=True,
        capture_output=True,
    )
    return done.stdout.decode()


def test_what_dead_processes_counted_is_kept_in_one_file(tmp_path: Path) -> None:
    """Counters and histograms of ended processes stay in the sums; gauges and files go."""
    count = (
        "metrics.workers.inc()\n"
        "metrics.worker_restarts.inc(2)\n"
        "metrics.analysis_seconds.labels('face').observe(0.3)\n"
    )
    for _ in range(2):
        pid = int(_run(tmp_path, f"{count}print(os.getpid())"))
        _run(tmp_path, f"metric_files.fold({pid})")
        assert list(tmp_path.glob(f"*_{pid}.db")) == []
    lines = _run(tmp_path, f"{count}show()").splitlines()
    assert "streamd_workers 1.0" in lines
    assert "streamd_worker_restarts_total 6.0" in lines
    assert 'streamd_analysis_duration_seconds_bucket{kind="face",le="0.3"} 3.0' in lines
    assert 'streamd_analysis_duration_seconds_bucket{kind="face",le="0.2"} 0.0' in lines
    assert 'streamd_analysis_duration_seconds_count{kind="face"} 3.0' in lines


def test_files_do_not_grow_with_stream_processors_that_are_gone(tmp_path: Path) -> None:
    """A hundred that came and went leave nothing, neither in files nor in memory."""
    told = _run(
        tmp_path,
        "for number in range(100):\n"
        "    name = f'door-{number}'\n"
        "    metrics.frames_decoded.labels(name).inc(number)\n"
        "    metrics.stream_processor_status.labels(name, 'RUNNING').set(1)\n"
        "    metrics.forget('stream_processor', {'door-7'})\n"
        "    metrics.frames_decoded.labels('door-7').inc()\n"
        "print(len(metrics.frames_decoded._metrics), len(metrics.stream_processor_status._metrics))\n"
        "show()",
    )
    assert told.splitlines()[0] == "1 1"
    # In no order of their own: files are read as the directory lists them.
    assert sorted(line for line in told.splitlines() if "door" in line) == [
        'streamd_frames_decoded_total{stream_processor="door-7"} 107.0',
        'streamd_stream_processor_status{status="RUNNING",stream_processor="door-7"} 1.0',
    ]
    for path in tmp_path.iterdir():
        assert b"door-99" not in path.read_bytes(), path.name


def test_ended_processes_are_forgotten_too(tmp_path: Path) -> None:
    """What a dead worker counted for a stream processor goes when that is deleted."""
    pid = int(_run(tmp_path, "metrics.frames_decoded.labels('door').inc()\nprint(os.getpid())"))
    told = _run(
        tmp_path,
        f"metric_files.fold({pid})\n"
        "metric_files.forget_ended('stream_processor', {'door'})\nshow()\n"
        "metric_files.forget_ended('stream_processor', set())\nshow()",
    )
    assert told.count('stream_processor="door"') == 1


def test_gauges_of_the_newest_process_win(tmp_path: Path) -> None:
    """A gauge that tells the present is the one set last, also where that is not a number."""
    _run(tmp_path, "metrics.lag_seconds.labels('door').set(40)")
    told = _run(
        tmp_path,
        "metrics.lag_seconds.labels('door').set(2)\nshow()\n"
        "metrics.lag_seconds.labels('door').set(float('nan'))\nshow()",
    )
    lines = [line for line in told.splitlines() if line.startswith("streamd_stream_lag_seconds{")]
    assert [line.rpartition(" ")[2] for line in lines] == ["2.0", "NaN"]


def test_a_process_that_analyses_nothing_overloads_nobody(tmp_path: Path) -> None:
    """The share of analysed frames is 1 until a worker says less."""
    _run(tmp_path, "")
    told = _run(tmp_path, "show()\nmetrics.analysis_share.set(0.5)\nshow()")
    lines = [line for line in told.splitlines() if line.startswith("streamd_analysis_rate_ratio ")]
    assert lines == ["streamd_analysis_rate_ratio 1.0", "streamd_analysis_rate_ratio 0.5"]
