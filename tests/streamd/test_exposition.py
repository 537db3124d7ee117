"""What /metrics answers: one text for all processes, of what exists, in the form asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamd.clock import SystemClock
from streamd.config import Settings
from streamd.exposition import Exposition, render
from streamd.metrics import Metrics
from streamd.resources import StartRequest
from streamd.store import Store
from streamd.store.errors import StoreUnavailableError
from tests.support.store import create_processor

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"


def test_text_is_prometheus_own_unless_asked() -> None:
    """A plain GET gets the text format, a client that says so OpenMetrics."""
    metrics = Metrics(CollectorRegistry())
    metrics.sink_errors.labels("s3", "SinkGoneError").inc(2)
    plain, plain_type = render(metrics.registry)
    assert plain_type == "text/plain; version=0.0.4; charset=utf-8"
    assert 'streamd_sink_errors_total{error="SinkGoneError",sink="s3"} 2.0' in plain.decode()
    assert len(list(parse_text(plain.decode()))) > 50
    wide, wide_type = render(metrics.registry, accept=OPENMETRICS)
    assert wide_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(wide.decode())}  # type: ignore[no-untyped-call]  # the library has no types here
    assert families["streamd_sink_errors"].samples[0].value == 2


def test_what_is_gone_is_left_out() -> None:
    """Series of resources that do not exist are not shown, but for gauges that are not 0."""
    metrics = Metrics(CollectorRegistry())
    for name in ("door", "gone"):
        metrics.frames_decoded.labels(name).inc()
        metrics.gate_quiet.labels(name).set(0)
        metrics.outbox_bytes.labels(name).set(9)
    present = {"stream_processor": frozenset({"door"})}
    lines = render(metrics.registry, present=present)[0].decode().splitlines()
    assert [line for line in lines if line.startswith("streamd_") and "gone" in line] == [
        'streamd_outbox_bytes{stream_processor="gone"} 9.0'
    ]
    assert sum("door" in line for line in lines) >= 3


@asynccontextmanager
async def _exposed(tmp_path: Path) -> AsyncIterator[tuple[Exposition, Store]]:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    store.migrate()

    async def run_blocking(function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    exposition = Exposition(
        metrics=Metrics(CollectorRegistry()),
        store=store,
        settings=Settings.model_validate({"server": {"data_dir": tmp_path}}),
        run_blocking=run_blocking,
    )
    try:
        yield exposition, store
    finally:
        await exposition.aclose()
        store.close()


async def _lines(exposition: Exposition, word: str) -> list[str]:
    body, _ = await exposition.answer(None)
    return [line for line in body.decode().splitlines() if line.startswith(word)]


async def test_a_stream_processor_has_one_status(tmp_path: Path) -> None:
    """Its series carries the status it has now, and goes with it."""
    async with _exposed(tmp_path) as (exposition, store):
        one = create_processor(store, "door")
        create_processor(store, "garden")
        series = "streamd_stream_processor_status{"
        assert len(await _lines(exposition, series)) == 2
        store.start_session(one.account_id, "door", StartRequest(), limit=9)
        assert await _lines(exposition, f'{series}status="STARTING"') == [
            f'{series}status="STARTING",stream_processor="door"}} 1.0'
        ]
        counts = await _lines(exposition, "streamd_stream_processors{")
        assert 'streamd_stream_processors{status="STARTING"} 1.0' in counts
        assert 'streamd_stream_processors{status="STOPPED"} 1.0' in counts
        assert 'streamd_stream_processors{status="FAILED"} 0.0' in counts
        store.delete_stream_processor(one.account_id, "garden")
        assert len(await _lines(exposition, series)) == 1


async def test_bounds_and_the_disk_are_shown(tmp_path: Path) -> None:
    """What alerts compare with is a metric, too."""
    async with _exposed(tmp_path) as (exposition, _):
        assert await _lines(exposition, "streamd_store_up") == ["streamd_store_up 1.0"]
        (free,) = await _lines(exposition, "streamd_disk_free_bytes")
        (size,) = await _lines(exposition, "streamd_disk_size_bytes")
        assert 0 < float(free.split()[1]) < float(size.split()[1])
        (capacity,) = await _lines(exposition, "streamd_archive_capacity_bytes")
        assert float(capacity.split()[1]) == 20 * 1024**3


async def test_a_store_that_does_not_answer_delays_no_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics are told without it, and one thread waits for it, not one for each scrape."""
    monkeypatch.setattr("streamd.exposition.LOOK_SECONDS", 0.05)
    async with _exposed(tmp_path) as (exposition, store):
        await exposition.answer(None)
        answers = threading.Event()
        asked: list[None] = []

        def hang() -> list[Any]:
            asked.append(None)
            answers.wait(30)
            raise StoreUnavailableError("the store is away")

        monkeypatch.setattr(store, "stream_processor_statuses", hang)
        try:
            for _ in range(3):
                assert await _lines(exposition, "streamd_store_up") == ["streamd_store_up 0.0"]
        finally:
            answers.set()
        assert len(asked) == 1
