"""From measured rows to bench.json, the tables and the targets. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from rich.table import Table

from tests.bench.detections import Agreement, compare, repeated
from tests.bench.growth import GrowthRow
from tests.bench.latency import Latency
from tests.bench.rows import ANALYZED_FPS, Row

__all__ = [
    "Line",
    "Target",
    "growth_table",
    "lines",
    "medians",
    "row_documents",
    "row_table",
    "targets",
]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row beside the others of its clip."""

    row: Row
    to_floor: float | None
    below_loop: float | None
    """How many times ``loop`` costs more."""
    below_pipe: float | None
    agreement: Agreement | None
    """With full decoding; ``None`` where that was not measured."""
    latency: Latency | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """A ratio that this run should show."""

    text: str
    wanted: float
    measured: float
    is_met: bool


def medians(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each clip and way, with the median of its repeats."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.clip, row.row), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(rows: Sequence[Row]) -> Row:
    memories = [row.memory_mb for row in rows if row.memory_mb is not None]
    return replace(
        rows[0],
        cpu_seconds_per_second=statistics.median(row.cpu_seconds_per_second for row in rows),
        memory_mb=statistics.median(memories) if memories else None,
        parts={key: statistics.median(row.parts[key] for row in rows) for key in rows[0].parts},
    )


def lines(
    rows: Sequence[Row],
    *,
    clip_seconds: Mapping[str, int],
    latencies: Mapping[str, Latency] | None = None,
) -> list[Line]:
    """Set rows beside each other.

    Args:
        rows: One for each clip and way.
        clip_seconds: How long each clip is.
        latencies: Of the daemon as shipped, by clip.

    """
    by_name = {(row.clip, row.row): row for row in rows}

    def cost(clip: str, name: str) -> float | None:
        row = by_name.get((clip, name))
        return None if row is None else row.cpu_seconds_per_second

    made = []
    for row in rows:
        own = row.cpu_seconds_per_second
        floor, loop, pipe = (cost(row.clip, name) for name in ("floor", "loop", "pipe"))
        made.append(
            Line(
                row=row,
                to_floor=None if floor is None else own / floor,
                below_loop=None if loop is None else loop / own,
                below_pipe=None if pipe is None else pipe / own,
                agreement=_agreement(row, by_name.get((row.clip, "floor")), clip_seconds),
                latency=(latencies or {}).get(row.clip) if row.row == "streamd" else None,
            )
        )
    return made


def _agreement(row: Row, floor: Row | None, clip_seconds: Mapping[str, int]) -> Agreement | None:
    if floor is None:
        return None
    reference = repeated(
        floor.found,
        clip_ms=clip_seconds[row.clip] * 1000,
        until_ms=round(row.compared_seconds * 1000),
    )
    return compare(reference, row.found, tolerance_ms=500 / ANALYZED_FPS)


def row_documents(made: Iterable[Line]) -> list[dict[str, object]]:
    """Return the rows of bench.json."""
    documents = []
    for line in made:
        row, agreement, latency = line.row, line.agreement, line.latency
        document: dict[str, object] = {
            "clip": row.clip,
            "row": row.row,
            "cpu_seconds_per_second": row.cpu_seconds_per_second,
            "ratio_to_floor": line.to_floor,
            "times_below_loop": line.below_loop,
            "times_below_pipe": line.below_pipe,
            "analyzed_frames": row.analyzed_frames,
            "seconds": row.seconds,
            "memory_mb": row.memory_mb,
            "parts": dict(row.parts),
        }
        if agreement is not None:
            document["detections"] = len(row.found)
            document["detections_equal_percent"] = agreement.percent
            document["detections_lost"] = agreement.lost
            document["detections_extra"] = agreement.extra
        if latency is not None:
            document["latency_ms"] = {
                name.removesuffix("_ms"): value
                for name, value in asdict(latency).items()
                if name != "clip"
            }
        documents.append(document)
    return documents


def row_table(made: Sequence[Line], title: str) -> Table:
    """Return the table of one clip, the ratios first."""
    table = Table(title=title, title_justify="left")
    names = ("row", "of floor", "below loop", "below pipe", "CPU s/s", "analysed/s")
    for name in (*names, "equal", "lost/extra", "MB", "p50/p95/p99 ms"):
        table.add_column(name, justify="left" if name == "row" else "right")
    for line in made:
        row, agreement, latency = line.row, line.agreement, line.latency
        table.add_row(
            row.row,
            _times(line.to_floor),
            _times(line.below_loop),
            _times(line.below_pipe),
            f"{row.cpu_seconds_per_second:.3f}",
            f"{row.analyzed_frames / row.seconds:.1f}",
            "" if agreement is None else f"{agreement.percent:.1f} %",
            "" if agreement is None else f"{agreement.lost}/{agreement.extra}",
            "" if row.memory_mb is None else f"{row.memory_mb:.0f}",
            ""
            if latency is None
            else f"{latency.p50_ms:.0f}/{latency.p95_ms:.0f}/{latency.p99_ms:.0f}",
        )
    return table


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} x"


def growth_table(rows: Sequence[GrowthRow]) -> Table:
    """Return how the cost grows; what was not measured has a ``~``."""
    table = Table(title="many cameras in one worker", title_justify="left")
    names = ("clip", "streams", "CPU s/s", "each", "MB", "MB each above 1", "threads")
    for name in (*names, "loop lag p99 ms: worker", "control"):
        table.add_column(name, justify="left" if name == "clip" else "right")
    for row in rows:
        first = next(each for each in rows if each.clip == row.clip)
        mark = "~" if row.is_extrapolated else ""
        more = row.streams - first.streams
        lags = (row.worker_lag_p99_ms, row.control_lag_p99_ms)
        table.add_row(
            row.clip,
            str(row.streams),
            f"{mark}{row.cpu_seconds_per_second:.3f}",
            f"{mark}{row.cpu_seconds_per_second / row.streams:.4f}",
            f"{mark}{row.memory_mb:.0f}",
            f"{mark}{(row.memory_mb - first.memory_mb) / more:.1f}" if more else "",
            "" if row.is_extrapolated else str(row.threads),
            *("" if lag is None else f"{lag:.1f}" for lag in lags),
        )
    return table


def targets(made: Sequence[Line], growth: Sequence[GrowthRow]) -> list[Target]:
    """Return the targets this run can judge."""
    shipped = {line.row.clip: line for line in made if line.row.row == "streamd"}
    found: list[Target] = []

    def most(text: str, wanted: float, measured: float | None) -> None:
        if measured is not None:
            met = measured <= wanted
            found.append(Target(text=text, wanted=wanted, measured=measured, is_met=met))

    def least(text: str, wanted: float, measured: float | None) -> None:
        if measured is not None:
            met = measured >= wanted
            found.append(Target(text=text, wanted=wanted, measured=measured, is_met=met))

    if busy := shipped.get("busy"):
        most("busy: times the floor, at most", 1.10, busy.to_floor)
        least("busy: times below loop, at least", 2.0, busy.below_loop)
        least("busy: times below pipe, at least", 1.2, busy.below_pipe)
    if home := shipped.get("home"):
        least("home: times below loop, at least", 8.0, home.below_loop)
    if idle := shipped.get("idle"):
        least("idle: times below loop, at least", 15.0, idle.below_loop)
        least("idle: times below pipe, at least", 8.0, idle.below_pipe)
    for clip, line in shipped.items():
        if line.agreement is not None:
            most(f"{clip}: detections lost, at most", 0, line.agreement.lost)
        if line.latency is not None:
            most(f"{clip}: latency p95 in ms, at most", 300, line.latency.p95_ms)
    idle_rows = [row for row in growth if row.clip == "idle" and not row.is_extrapolated]
    if len(idle_rows) > 1:
        first, last = idle_rows[0], idle_rows[-1]
        each = (last.memory_mb - first.memory_mb) / (last.streams - first.streams)
        most("MB per idle 1080p stream above the first, at most", 10, each)
    for row in growth:
        if row.streams == 256 and row.worker_lag_p99_ms is not None:
            most("256 idle streams: loop lag p99 of the worker in ms, at most", 20,
                 row.worker_lag_p99_ms)  # fmt: skip
    return found
