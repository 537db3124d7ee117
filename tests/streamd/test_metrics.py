"""What is exported: names by Prometheus' conventions, labels with a bound."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streamd.metrics import Metrics
from tests.support.metrics_table import Instrument, instruments, name_of

_FOREIGN_UNITS = {
    *("milliseconds", "ms", "minutes", "hours", "kilobytes", "kb", "mb", "megabytes"),
    *("percent", "share", "duration", "latency", "lag", "size"),
}
"""Endings that stand where the base unit belongs: seconds, bytes, ratio."""
_RESOURCES = {"stream", "stream_processor", "camera"}
_FIXED = {
    *("service", "operation", "code", "error_code", "reason", "from_status", "to_status"),
    *("status", "kind", "label", "sink", "error", "outcome", "cause", "process"),
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


def test_forget_lets_go_of_what_is_gone() -> None:
    """Series of absent stream processors go, all others stay."""
    metrics = Metrics(CollectorRegistry())
    for name in ("door", "garden"):
        metrics.frames_decoded.labels(name).inc()
        metrics.gate_wakes.labels(name, "packets").inc()
    metrics.records_delivered.labels("kafka").inc()
    metrics.forget("stream_processor", {"door"})
    text = generate_latest(metrics.registry).decode()
    assert "garden" not in text
    assert 'streamd_frames_decoded_total{stream_processor="door"} 1.0' in text
    assert 'streamd_gate_wakes_total{cause="packets",stream_processor="door"} 1.0' in text
    assert 'streamd_records_delivered_total{sink="kafka"} 1.0' in text
