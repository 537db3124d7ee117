"""Sessions of a worker: claimed, renewed, stopped, lost and drained, on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.lifecycle import Event, Status
from streamd.metrics import Metrics
from streamd.pipeline.host import SessionHost
from streamd.resources import (
    FaceSearchSettings,
    KinesisOutput,
    StartRequest,
    StreamProcessorDefinition,
)
from streamd.store import ClaimedSession, Store, StoreUnavailableError, WorkerPlace

ACCOUNT = "000000000000"
LEASE_SECONDS = 0.4
LONG_LEASE_SECONDS = 10.0
"""Where no lease is to end, however slow the machine."""


class FakeSession:
    """A session that notes what it is told and ends when told to end."""

    def __init__(self, claim: ClaimedSession, store: Store) -> None:
        self.claim = claim
        self.told: list[str] = []
        self._store = store
        self._end = asyncio.Event()

    async def run(self) -> None:
        await self._end.wait()
        session = self.claim.session
        if self.told[-1] == "stop":
            await asyncio.to_thread(
                self._store.report, session.session_id, session.epoch, Event.SESSION_ENDED
            )
        elif self.told[-1] == "drain":
            await asyncio.to_thread(self._store.release_session, session.session_id, session.epoch)

    def request_stop(self) -> None:
        self._tell("stop")

    def drain(self) -> None:
        self._tell("drain")

    def lose(self) -> bool:
        self._tell("lose")
        return len(self.told) == 1

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._end.set()


class Worker:
    """A host on its own task."""

    def __init__(self, name: str, store: Store, lease_seconds: float = LEASE_SECONDS) -> None:
        self.sessions: list[FakeSession] = []
        self.on_busy: list[Callable[[float], None]] = []
        self._stop = asyncio.Event()
        self.metrics = Metrics(CollectorRegistry())
        self.host = SessionHost(
            place=WorkerPlace(owner=name, threads=1, max_sessions=100),
            store=store,
            run_blocking=_run_blocking,
            open_session=lambda claim, on_busy: self._open(claim, on_busy, store),
            lease_seconds=lease_seconds,
            metrics=self.metrics,
        )
        self.task = asyncio.create_task(self.host.run(self._stop))

    def _open(
        self, claim: ClaimedSession, on_busy: Callable[[float], None], store: Store
    ) -> FakeSession:
        self.on_busy.append(on_busy)
        session = FakeSession(claim, store)
        self.sessions.append(session)
        return session

    async def drain(self) -> None:
        self._stop.set()
        await self.task


def _run_blocking(function: Callable[..., Any], *args: object) -> Awaitable[Any]:
    return asyncio.to_thread(function, *args)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
async def workers(store: Store) -> AsyncIterator[Callable[[str], Worker]]:
    """Makes workers and ends those still running."""
    made: list[Worker] = []

    def make(name: str, lease_seconds: float = LEASE_SECONDS) -> Worker:
        made.append(Worker(name, store, lease_seconds))
        return made[-1]

    yield make
    for worker in made:
        if not worker.task.done():
            await worker.drain()


def _start(store: Store, name: str, *, stream: str | None = None) -> None:
    store.create_stream_processor(
        account_id=ACCOUNT,
        name=name,
        arn=f"arn:aws:rekognition:us-east-1:{ACCOUNT}:streamprocessor/{name}",
        definition=StreamProcessorDefinition(
            input_arn=f"arn:{stream or name}",
            output=KinesisOutput(arn="arn:out"),
            settings=FaceSearchSettings(collection_id="c"),
            role_arn="arn:role",
        ),
        tags={},
        limit=100,
    )
    store.start_session(ACCOUNT, name, StartRequest(), limit=100)


async def _until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  # facts of other processes have no event
            await asyncio.sleep(0.01)


async def test_started_session_is_claimed(store: Store, workers: Callable[[str], Worker]) -> None:
    """A worker finds a session in the store and runs it."""
    _start(store, "a")
    worker = workers("w1")
    await _until(lambda: len(worker.sessions) == 1)
    assert worker.sessions[0].claim.processor.name == "a"
    assert worker.sessions[0].claim.session.epoch == 1


async def test_leases_are_renewed(store: Store, workers: Callable[[str], Worker]) -> None:
    """A session that is held stays held, longer than a lease."""
    _start(store, "a")
    first, second = workers("w1"), workers("w2")
    await _until(lambda: len(first.sessions) + len(second.sessions) == 1)
    await asyncio.sleep(2 * LEASE_SECONDS)
    assert len(first.sessions) + len(second.sessions) == 1


async def test_stop_reaches_the_session(store: Store, workers: Callable[[str], Worker]) -> None:
    """StopStreamProcessor is told at the wake-up, and the end is reported."""
    _start(store, "a")
    worker = workers("w1")
    await _until(lambda: len(worker.sessions) == 1)
    store.request_stop(ACCOUNT, "a")
    worker.host.wake()
    await _until(lambda: store.stream_processor(ACCOUNT, "a").status is Status.STOPPED)
    assert worker.sessions[0].told[0] == "stop"
    await _until(lambda: worker.host.session_count == 0)


async def test_deleted_processor_ends_its_session_unwritten(
    store: Store, workers: Callable[[str], Worker]
) -> None:
    """A session whose processor is gone is lost: it may write nothing more."""
    _start(store, "a")
    worker = workers("w1")
    await _until(lambda: len(worker.sessions) == 1)
    store.delete_stream_processor(ACCOUNT, "a")
    worker.host.wake()
    await _until(lambda: worker.sessions[0].told == ["lose"])


async def test_silent_worker_loses_its_session_to_another(
    store: Store, workers: Callable[[str], Worker]
) -> None:
    """A worker that does not renew is replaced; the new claim has a higher epoch."""
    _start(store, "a")
    first = workers("w1")
    await _until(lambda: len(first.sessions) == 1)
    first.task.cancel()
    first.host._running.clear()  # as a killed process leaves it: leased, and nobody renews
    await asyncio.gather(first.task, return_exceptions=True)
    second = workers("w2")
    await _until(lambda: len(second.sessions) == 1)
    assert second.sessions[0].claim.session.epoch == 2


async def test_drained_worker_hands_over_at_once(
    store: Store, workers: Callable[[str], Worker]
) -> None:
    """Draining releases the sessions: the next worker does not wait for the lease."""
    for name in ("a", "b", "c"):
        _start(store, name)
    first = workers("w1")
    await _until(lambda: len(first.sessions) == 3)
    await first.drain()
    assert [session.told for session in first.sessions] == [["drain"]] * 3
    assert all(
        (session := store.session(ACCOUNT, name)) is not None and session.owner is None
        for name in ("a", "b", "c")
    )


async def test_lease_is_valid_by_the_own_clock_while_it_is_renewed(
    store: Store,
    workers: Callable[[str], Worker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A host that cannot reach the store knows by itself when others may have its sessions."""
    worker = workers("one")
    _start(store, "cam")
    await _until(lambda: len(worker.sessions) == 1)
    session = worker.sessions[0].claim.session
    assert worker.host.holds(session)
    assert not worker.host.holds(session.model_copy(update={"epoch": session.epoch + 1}))

    def away(*args: object, **more: object) -> None:
        del args, more
        raise StoreUnavailableError("the store does not answer: cut off")

    with monkeypatch.context() as patch:
        patch.setattr(store, "renew_sessions", away)
        patch.setattr(store, "claim_sessions", away)
        await _until(lambda: not worker.host.holds(session))
    # Nobody has claimed it meanwhile: it is ours again.
    await _until(lambda: worker.host.holds(session))
    assert [record.message for record in caplog.records] == [
        "the store cannot be used, trying again: the store does not answer: cut off"
    ]


def _counts(workers: list[Worker]) -> list[int]:
    return [worker.host.session_count for worker in workers]


async def test_burst_is_shared_evenly(store: Store, workers: Callable[..., Worker]) -> None:
    """Sixty sessions started at once: each of three workers runs twenty, claimed once."""
    every = [workers(name, LONG_LEASE_SECONDS) for name in ("w1", "w2", "w3")]
    await _until(lambda: len(store.live_workers(lease_seconds=LONG_LEASE_SECONDS)) == 3)
    for number in range(60):
        await asyncio.to_thread(_start, store, f"cam-{number}")  # the workers beat meanwhile
    for worker in every:
        worker.host.wake()
    await _until(lambda: sum(_counts(every)) == 60)
    assert sum(len(worker.sessions) for worker in every) == 60
    assert max(_counts(every)) - min(_counts(every)) <= 1


async def test_sessions_of_one_stream_meet_at_one_worker(
    store: Store, workers: Callable[..., Worker]
) -> None:
    """A processor that is started later joins those that read the same stream."""
    every = [workers(name, LONG_LEASE_SECONDS) for name in ("w1", "w2")]
    await _until(lambda: len(store.live_workers(lease_seconds=LONG_LEASE_SECONDS)) == 2)
    for number in range(6):
        _start(store, f"cam-{number}")
    await _until(lambda: sum(_counts(every)) == 6)
    reader = next(
        worker
        for worker in every
        if any(session.claim.processor.name == "cam-0" for session in worker.sessions)
    )
    _start(store, "second", stream="cam-0")
    await _until(lambda: sum(_counts(every)) == 7)
    assert reader.sessions[-1].claim.processor.name == "second"


async def test_worker_that_joins_is_given_its_share(
    store: Store, workers: Callable[..., Worker]
) -> None:
    """Surplus sessions are drained and released; the new worker goes on, no more than needed."""
    for number in range(12):
        _start(store, f"cam-{number}")
    first = workers("w1", 1.0)
    await _until(lambda: first.host.session_count == 12)
    second = workers("w2", 1.0)
    await _until(lambda: _counts([first, second]) == [6, 6])
    assert [session.told[0] for session in first.sessions if session.told] == ["drain"] * 6
    assert [session.claim.session.epoch for session in second.sessions] == [2] * 6
    rebalanced = first.metrics.registry.get_sample_value("streamd_sessions_rebalanced_total")
    assert rebalanced == 6
    await asyncio.sleep(1.0)  # several looks
    assert _counts([first, second]) == [6, 6]
    assert len(second.sessions) == 6


async def test_sessions_of_a_drained_worker_are_shared_by_the_others(
    store: Store, workers: Callable[..., Worker]
) -> None:
    """What it held is spread over those that stay, and nothing of theirs moves."""
    every = [workers(name, LONG_LEASE_SECONDS) for name in ("w1", "w2", "w3")]
    await _until(lambda: len(store.live_workers(lease_seconds=LONG_LEASE_SECONDS)) == 3)
    for number in range(12):
        await asyncio.to_thread(_start, store, f"cam-{number}")
    await _until(lambda: _counts(every) == [4, 4, 4])
    await every[0].drain()
    await _until(lambda: _counts(every) == [0, 6, 6])
    assert [len(worker.sessions) for worker in every] == [4, 6, 6]
    assert not any(session.told for worker in every[1:] for session in worker.sessions)


async def test_busy_session_tells_its_load(
    store: Store, workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps a thread busy is known to all who share the work."""
    monkeypatch.setattr("streamd.pipeline.load.FIRST_SECONDS", 0.0)
    _start(store, "a")
    worker = workers("w1")
    await _until(lambda: len(worker.sessions) == 1)
    worker.on_busy[0](1000.0)
    await _until(lambda: (store.spread_sessions(lease_seconds=LEASE_SECONDS)[0].load or 0.0) > 1.0)
