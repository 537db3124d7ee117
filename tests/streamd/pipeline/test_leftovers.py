"""Leftovers: what an earlier session could not deliver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.config import OutboxSettings, ServerSettings, Settings
from streamd.metrics import Metrics
from streamd.pipeline.leftovers import LeftoverDelivery
from streamd.pipeline.outbox import Outbox, leftover_outboxes
from streamd.records import OutboxItem
from streamd.sinks.errors import SinkGoneError
from streamd.sinks.local import LocalSink
from streamd.sinks.router import SinkRouter
from streamd.store import Store
from tests.support.clock import ManualClock
from tests.support.store import LABELS, create_processor

TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:porch"


class Bucketless(LocalSink):
    """A local sink whose buckets are gone."""

    async def deliver(self, items: Any) -> None:
        """Refuse objects."""
        if items[0].kind == "s3":
            raise SinkGoneError(f"Bucket {items[0].target} not found")
        await super().deliver(items)


def picture(name: str) -> OutboxItem:
    return OutboxItem(
        kind="s3", target="bucket", key=name, content_type="image/jpeg", body=name.encode()
    )


def notification(name: str) -> OutboxItem:
    return OutboxItem(
        kind="sns",
        target=TOPIC_ARN,
        key="door",
        content_type="application/json",
        body=b"{}",
        attributes={"event_id": name},
    )


def left_behind(data_dir: Path, *items: OutboxItem) -> Path:
    path = data_dir / "outbox/door.sqlite"
    box = Outbox(path, max_bytes=10**6, clock=ManualClock(1_000.0))
    box.append(items)
    box.close()
    return path


def waiting(path: Path) -> list[str]:
    box = Outbox(path, max_bytes=10**6)
    names = [item.key for _, item in box.peek(99, 10**6)]
    box.close()
    return names


@asynccontextmanager
async def leftovers(
    data_dir: Path, sink: LocalSink, outbox: OutboxSettings | None = None, *, exists: bool = True
) -> AsyncIterator[list[object]]:
    """Run the delivery of leftovers for a label processor ``door``, or one that is deleted.

    Yields a list that grows with each scan.
    """
    scans: list[object] = []
    settings = Settings.model_validate(
        {
            "server": ServerSettings(data_dir=data_dir),
            "aws": {"account_id": "111122223333"},
            "outbox": outbox or OutboxSettings(),
        }
    )
    store = Store(f"sqlite:///{data_dir / 'streamd.sqlite'}", clock=SystemClock())
    store.migrate()
    if exists:
        create_processor(store, "door", LABELS.model_copy(update={"sns_topic_arn": TOPIC_ARN}))
    executor = ThreadPoolExecutor(1)

    async def run_blocking(function: Callable[..., Any], *args: Any) -> Any:
        if function is leftover_outboxes:
            scans.append(None)
        return await asyncio.get_running_loop().run_in_executor(executor, function, *args)

    task = asyncio.create_task(
        LeftoverDelivery(
            settings=settings,
            store=store,
            sinks=SinkRouter({"kinesis": sink, "s3": sink, "sns": sink}),
            metrics=Metrics(CollectorRegistry()),
            clock=SystemClock(),
            run_store=run_blocking,
            run_outbox=run_blocking,
            scan_seconds=0.01,
        ).run()
    )
    try:
        yield scans
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sink.aclose()
        executor.shutdown()
        store.close()


async def eventually(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  # files give no event
            await asyncio.sleep(0.01)


async def test_what_was_left_is_delivered(tmp_path: Path) -> None:
    """Without a session, in the order it came."""
    left_behind(tmp_path, picture("a.jpg"), notification("e-1"))
    sink = LocalSink(tmp_path / "outputs", clock=SystemClock())
    async with leftovers(tmp_path, sink):
        await eventually((tmp_path / "outputs/sns/porch.jsonl").exists)
    assert (tmp_path / "outputs/s3/bucket/a.jpg").read_bytes() == b"a.jpg"


async def test_notices_go_past_a_bucket_that_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once; the objects stay for the case that it comes back, and the log is not filled."""
    path = left_behind(tmp_path, picture("a.jpg"), notification("e-1"))
    sink = Bucketless(tmp_path / "outputs", clock=SystemClock())
    with caplog.at_level(logging.ERROR):
        async with leftovers(tmp_path, sink) as scans:
            await eventually((tmp_path / "outputs/sns/porch.jsonl").exists)
            seen = len(scans)
            await eventually(lambda: len(scans) > seen + 5)
    assert len((tmp_path / "outputs/sns/porch.jsonl").read_text().splitlines()) == 1
    assert waiting(path) == ["a.jpg"]
    assert caplog.text.count("output is gone") == 1


async def test_results_of_a_deleted_processor_do_not_wait_for_their_bucket(tmp_path: Path) -> None:
    """They become dead letters, and the outbox goes."""
    path = left_behind(tmp_path, picture("a.jpg"), notification("e-1"))
    sink = Bucketless(tmp_path / "outputs", clock=SystemClock())
    async with leftovers(tmp_path, sink, exists=False):
        await eventually(lambda: not path.exists())
    assert (tmp_path / "outputs/sns/porch.jsonl").exists()
    assert '"key":"a.jpg"' in (tmp_path / "dead-letter/door.jsonl").read_text()


async def test_old_leftovers_become_dead_letters(tmp_path: Path) -> None:
    """The age of results counts from when they were made, through every restart."""
    left_behind(tmp_path, picture("a.jpg"))
    sink = LocalSink(tmp_path / "outputs", clock=SystemClock())
    letters = tmp_path / "dead-letter/door.jsonl"
    async with leftovers(tmp_path, sink, OutboxSettings(max_age_hours=1)):
        await eventually(letters.exists)
    assert "longer than 'outbox.max_age_hours' allows" in letters.read_text()
    assert not (tmp_path / "outputs/s3").exists()
