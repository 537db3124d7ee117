"""What bench.json and the tables say of measured rows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

pytest.importorskip("cv2", reason="OpenCV comes with the bench extra")

from tests.bench import report  # see above
from tests.bench.detections import Detection  # see above
from tests.bench.growth import GrowthRow, extrapolated, histogram_quantile  # see above
from tests.bench.latency import Latency, quantile  # see above
from tests.bench.rows import Row  # see above

SEEN = Detection(time_ms=0, label="PERSON", edges=(0.1, 0.1, 0.3, 0.5))


def _row(name: str, cost: float, *, found: tuple[Detection, ...] = (SEEN,)) -> Row:
    return Row(
        clip="home",
        row=name,
        cpu_seconds_per_second=cost,
        analyzed_frames=50,
        seconds=10,
        found=found,
        compared_seconds=10,
    )


def _growth(streams: int, cost: float, memory: float) -> GrowthRow:
    return GrowthRow(
        clip="idle",
        streams=streams,
        cpu_seconds_per_second=cost,
        memory_mb=memory,
        threads=9,
        worker_lag_p99_ms=3.0,
    )


def _lines() -> list[report.Line]:
    rows = [
        _row("floor", 0.2), _row("loop", 0.4), _row("streamd", 0.9), _row("streamd", 0.1),
        _row("streamd", 0.1), _row("pipe", 0.3, found=()),
    ]  # fmt: skip
    latency = Latency(clip="home", records=9, p50_ms=1, p95_ms=2, p99_ms=3, sender_p99_ms=0)
    return report.lines(
        report.medians(rows), clip_seconds={"home": 60}, latencies={"home": latency}
    )


def test_rows_are_medians_beside_the_others() -> None:
    """One bad run of three does not count; ratios are to the floor, the loop and the pipe."""
    documents = {row["row"]: row for row in report.row_documents(_lines())}
    streamd = documents["streamd"]
    assert streamd["cpu_seconds_per_second"] == 0.1
    assert streamd["ratio_to_floor"] == 0.5
    assert streamd["times_below_loop"] == 4.0
    assert streamd["times_below_pipe"] == pytest.approx(3.0)
    assert streamd["detections_equal_percent"] == 100.0
    assert streamd["latency_ms"] == {
        "records": 9, "p50": 1, "p95": 2, "p99": 3, "sender_p99": 0,
    }  # fmt: skip
    assert documents["pipe"]["detections_lost"] == 1
    assert "latency_ms" not in documents["loop"]


def test_targets_say_whether_they_are_met() -> None:
    """Each target has what was wanted, what was measured, and whether that is enough."""
    growth = [_growth(1, 0.1, 200), _growth(256, 1.0, 1220)]
    judged = {target.text: target for target in report.targets(_lines(), growth)}
    assert not judged["home: times below loop, at least"].is_met
    assert judged["home: detections lost, at most"].is_met
    assert judged["MB per idle 1080p stream above the first, at most"].measured == 4.0
    assert judged["256 idle streams: loop lag p99 of the worker in ms, at most"].is_met


def test_tables_mark_what_was_not_measured() -> None:
    """Extrapolated figures have a mark, and every row is there."""
    console = Console(width=150, record=True, file=io.StringIO())
    rows = [_growth(1, 0.1, 200), _growth(4, 0.25, 230)]
    console.print(report.growth_table([*rows, extrapolated(rows, 16)]))
    console.print(report.row_table(_lines(), "home"))
    text = console.export_text()
    assert "~0.850" in text
    assert "~350" in text
    assert "0.50 x" in text
    assert "1/2/3" in text


def test_quantiles() -> None:
    """Of values the next one above the share, of histograms a place inside the bucket."""
    assert quantile([float(each) for each in range(1, 101)], 0.95) == 95.0
    assert quantile([7.0], 0.99) == 7.0
    assert histogram_quantile({0.01: 50, 0.02: 100, float("inf"): 100}, 0.75) == 0.015
    assert histogram_quantile({}, 0.5) is None
