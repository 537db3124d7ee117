"""What is exported: names by Prometheus' conventions, and the sum over processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamd.metrics import MULTIPROC_ENV, Metrics, render
from tests.support.metrics_table import Instrument, instruments, name_of

_FOREIGN_UNITS = {
    *("milliseconds", "ms", "minutes", "hours", "kilobytes", "kb", "mb", "megabytes"),
    *("percent", "share", "duration", "latency", "lag", "size"),
}
"""Endings that stand where the base unit belongs: seconds, bytes, ratio."""
_RESOURCES = {"stream", "stream_processor", "camera"}
_FIXED = {
    *("service", "operation", "code", "error_code", "reason", "from_status", "to_status"),
    *("kind", "label", "sink", "error", "outcome", "cause"),
}


@pytest.mark.parametrize("instrument", instruments(), ids=name_of)
def test_names_follow_the_conventions(instrument: Instrument) -> None:
    """Counters and they alone end in _total, units are base units, each has a sentence."""
    name = name_of(instrument)
    assert name.startswith("streamd_")
    assert name.endswith("_total") == (instrument._type == "counter")
    assert instrument._type != "histogram" or name.endswith("_seconds")
    assert name.removesuffix("_total").rpartition("_")[2] not in _FOREIGN_UNITS
    assert not name.endswith(("_count", "_sum", "_bucket", "_created", "_info"))
    assert instrument._documentation.endswith(".")


@pytest.mark.parametrize("instrument", instruments(), ids=name_of)
def test_labels_are_bounded(instrument: Instrument) -> None:
    """A label is a resource that exists, or one of a small fixed set."""
    assert set(instrument._labelnames) <= _RESOURCES | _FIXED


def test_render_tells_what_this_process_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the multi-process mode the registry itself is rendered."""
    monkeypatch.delenv(MULTIPROC_ENV, raising=False)
    metrics = Metrics(CollectorRegistry())
    metrics.sink_errors.labels("s3", "SinkGoneError").inc(2)
    text = render(metrics.registry).decode()
    assert 'streamd_sink_errors_total{error="SinkGoneError",sink="s3"} 2.0' in text


def test_render_sums_over_processes_and_forgets_the_dead(tmp_path: Path) -> None:
    """Counters of an ended process stay in the sum, its gauges go."""
    count = (
        "from prometheus_client import CollectorRegistry\n"
        "from streamd.metrics import Metrics, forget_process, render\n"
        "import os, sys\n"
        "metrics = Metrics(CollectorRegistry())\n"
        "metrics.workers.inc()\n"
        "metrics.worker_restarts.inc()\n"
    )
    environment = {MULTIPROC_ENV: str(tmp_path)}
    one = subprocess.run(
        [sys.executable, "-c", count + "print(os.getpid())"],
        env=environment,
        check=True,
        capture_output=True,
    )
    tell = f"forget_process({int(one.stdout)})\nprint(render(metrics.registry).decode())\n"
    two = subprocess.run(
        [sys.executable, "-c", count + tell], env=environment, check=True, capture_output=True
    )
    lines = two.stdout.decode().splitlines()
    assert "streamd_workers 1.0" in lines
    assert "streamd_worker_restarts_total 2.0" in lines
