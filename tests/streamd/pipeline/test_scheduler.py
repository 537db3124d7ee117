"""The scheduler: the store's lifecycle from the event loop, told in logs and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import current_thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.lifecycle import Event, Status, TransitionError
from streamd.metrics import Metrics
from streamd.pipeline.scheduler import StreamProcessorScheduler
from streamd.resources import StartRequest, StreamProcessor, StreamProcessorDefinition
from streamd.store import LimitError, NameInUseError, NotFoundError, Store
from tests.support.store import ACCOUNT, FACE_SEARCH, LABELS

DOOR = (ACCOUNT, "door")


class Harness:
    """A scheduler over a store, with what it told others."""

    def __init__(self, store: Store, executor: ThreadPoolExecutor) -> None:
        self.store = store
        self.registry = CollectorRegistry()
        self.wakes = 0
        self._executor = executor
        self.scheduler = StreamProcessorScheduler(
            store=store,
            run_blocking=self._run,
            metrics=Metrics(self.registry),
            wake=self._wake,
        )

    async def create(
        self, definition: StreamProcessorDefinition = FACE_SEARCH, *, limit: int = 10
    ) -> StreamProcessor:
        """Create the stream processor ``door``."""
        return await self.scheduler.create(
            account_id=ACCOUNT,
            name="door",
            arn=f"arn:aws:rekognition:us-east-1:{ACCOUNT}:streamprocessor/door",
            definition=definition,
            tags={"team": "night"},
            limit=limit,
        )

    def changes(self) -> dict[tuple[str, str], float]:
        """Return the counted changes of status."""
        return {
            (sample.labels["from_status"], sample.labels["to_status"]): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "streamd_status_changes_total"
        }

    async def _run(self, function: Callable[..., Any], *args: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    def _wake(self) -> None:
        assert current_thread().name == "MainThread"
        self.wakes += 1


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    store.migrate()
    with ThreadPoolExecutor(2, "store") as executor:
        yield Harness(store, executor)
    store.close()


async def test_created_processor_is_described_and_listed(harness: Harness) -> None:
    """What was created is found, with its tags."""
    created = await harness.create()
    assert await harness.scheduler.describe(*DOOR) == created
    assert await harness.scheduler.list(ACCOUNT, after=None, limit=5) == [created]
    assert await harness.scheduler.list(ACCOUNT, after="door", limit=5) == []
    assert harness.store.tags(created.arn) == {"team": "night"}
    assert harness.wakes == 0


async def test_start_and_stop_wake_the_workers(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is logged as old -> new, counted, and told to the workers once."""
    caplog.set_level(logging.INFO, "streamd.pipeline.scheduler")
    await harness.create()
    session = await harness.scheduler.start(*DOOR, StartRequest(), limit=1)
    assert harness.store.session(*DOOR) == session
    assert harness.wakes == 1
    stopping = await harness.scheduler.stop(*DOOR)
    assert stopping.status is Status.STOPPING
    assert harness.wakes == 2
    assert [record.getMessage() for record in caplog.records] == [
        "absent -> STOPPED",
        "STOPPED -> STARTING",
        "STARTING -> STOPPING",
    ]
    assert harness.changes() == {
        ("absent", "STOPPED"): 1,
        ("STOPPED", "STARTING"): 1,
        ("STARTING", "STOPPING"): 1,
    }


async def test_update_passes_updating(harness: Harness) -> None:
    """A failed processor is STOPPED after an update; no worker needs to know."""
    await harness.create(LABELS)
    await harness.scheduler.start(*DOOR, StartRequest(), limit=1)
    harness.store.transition(*DOOR, Event.SESSION_FAILED)
    updated = await harness.scheduler.update(*DOOR, lambda d: d.model_copy(update={"opt_in": True}))
    assert updated.status is Status.STOPPED
    assert updated.definition.opt_in
    assert harness.wakes == 1
    assert harness.changes()["FAILED", "UPDATING"] == 1
    assert harness.changes()["UPDATING", "STOPPED"] == 1


async def test_delete_wakes_the_worker_that_holds_it(harness: Harness) -> None:
    """A session of a deleted processor ends at the next renewal, which is at once."""
    await harness.create()
    await harness.scheduler.start(*DOOR, StartRequest(), limit=1)
    deleted = await harness.scheduler.delete(*DOOR)
    assert deleted.status is Status.STARTING
    assert harness.wakes == 2
    assert harness.changes()["STARTING", "absent"] == 1
    with pytest.raises(NotFoundError):
        await harness.scheduler.describe(*DOOR)


async def test_refusals_pass_through_and_leave_no_trace(harness: Harness) -> None:
    """Errors of store and lifecycle reach the API; nothing is counted, nobody woken."""
    with pytest.raises(NotFoundError):
        await harness.scheduler.start(*DOOR, StartRequest(), limit=1)
    with pytest.raises(LimitError):
        await harness.create(limit=0)
    await harness.create()
    before = harness.changes()
    with pytest.raises(NameInUseError):
        await harness.create()
    with pytest.raises(TransitionError):
        await harness.scheduler.stop(*DOOR)
    with pytest.raises(LimitError):
        await harness.scheduler.start(*DOOR, StartRequest(), limit=0)
    assert harness.changes() == before
    assert harness.wakes == 0
    assert (await harness.scheduler.describe(*DOOR)).status is Status.STOPPED
