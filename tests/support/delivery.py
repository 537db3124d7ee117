"""A delivery to watch: from an outbox to sinks that do as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from streamd.clock import Clock, SystemClock
from streamd.metrics import Metrics
from streamd.pipeline.delivery import Delivery
from streamd.pipeline.outbox import Outbox
from streamd.records import Kind, OutboxItem
from streamd.retry import Backoff
from streamd.sinks import (
    Sink,
)

STREAM_ARN = "arn:aws:kinesis:us-east-1:111122223333:stream/faces"
TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:porch"
TARGETS: dict[Kind, str] = {"kinesis": STREAM_ARN, "s3": "bucket", "sns": TOPIC_ARN}


def item(
    name: str, kind: Kind = "kinesis", *, target: str | None = None, **attributes: str
) -> OutboxItem:
    return OutboxItem(
        kind=kind,
        target=target or TARGETS[kind],
        key=name,
        content_type="application/json",
        body=name.encode(),
        attributes=attributes,
    )


class FakeSink:
    """Takes everything, unless a plan for the call says otherwise."""

    name = "fake"

    def __init__(self, *plans: Exception | None) -> None:
        self._plans = list(plans)
        self.calls: list[list[str]] = []
        self.arrived: list[str] = []
        self.blocked = asyncio.Event()
        self.blocked.set()

    async def open(self) -> None:
        """Nothing to do."""

    async def check(self, target: str) -> None:
        """Everything is there."""

    async def aclose(self) -> None:
        """Nothing to do."""

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """Follow the next plan."""
        await self.blocked.wait()
        names = [found.key for found in items]
        self.calls.append(names)
        plan = self._plans.pop(0) if self._plans else None
        if plan is None:
            self.arrived += names
            return
        settled = getattr(plan, "settled", ())
        self.arrived += [name for position, name in enumerate(names) if position in settled]
        raise plan

    def sink_for(self, kind: Kind) -> Sink:
        """Be the sink of every kind."""
        assert kind in TARGETS
        return self


class Bench:
    """A delivery, what it delivers and what it reports."""

    def __init__(
        self, directory: Path, sinks: Any, *, clock: Clock | None = None, **options: Any
    ) -> None:
        self.directory = directory
        self.metrics = Metrics(CollectorRegistry())
        self.outbox = Outbox(directory / "outbox/door.sqlite", max_bytes=1_000, clock=clock)
        self.outbox.begin("session")
        self.delivered: list[str] = []
        self.gone: list[str] = []
        self.health: list[str | None] = []
        self.executor = ThreadPoolExecutor(1)
        self.delivery = Delivery(
            self.outbox,
            sinks,
            processor_name="door",
            dead_letter_dir=directory / "dead-letter",
            metrics=self.metrics,
            clock=clock or SystemClock(),
            run_blocking=self.run_blocking,
            on_delivered=self.delivered.append,
            on_gone=self.gone.append,
            on_health=self.health.append,
            backoff=Backoff(base_seconds=0.001, cap_seconds=0.01),
            **options,
        )

    async def run_blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *args)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def dead_letters(self) -> list[dict[str, Any]]:
        text = (self.directory / "dead-letter/door.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@asynccontextmanager
async def running(directory: Path, sinks: Any, **options: Any) -> AsyncIterator[Bench]:
    bench = Bench(directory, sinks, **options)
    task = asyncio.create_task(bench.delivery.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bench.outbox.close()
        bench.executor.shutdown()


async def eventually(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  # metrics and attributes give no event
            await asyncio.sleep(0.001)


async def append(bench: Bench, *items: OutboxItem, fragment: str | None = None) -> None:
    """Append in a thread, as a session does."""
    await asyncio.to_thread(bench.outbox.append, items, fragment_done=fragment)
