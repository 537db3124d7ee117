"""Random work against small models: two workers with leases and a clock that moves; faces."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamd.lifecycle import Event, Status, TransitionError, next_status
from streamd.resources import StartRequest
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    StaleEpochError,
    Store,
    faces,
    vectors,
)
from streamd.store.vectors import CollectionVectors
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_collection, create_processor, make_face

NAMES = st.sampled_from(["a", "b"])
WORKERS = st.sampled_from(["w1", "w2"])
NUMBERS = st.lists(st.integers(1, 12), min_size=2, max_size=5)
LEASE = 5.0
MAX_SESSIONS = 1
PEOPLE = (ACCOUNT, "people")


@dataclass
class Run:
    """A session as the model knows it."""

    session_id: str
    epoch: int = 0
    owner: str | None = None
    lease_until: float = 0.0
    stop_requested: bool = False


@dataclass
class Model:
    """What the store should hold."""

    status: dict[str, Status] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)


class StoreMachine(RuleBasedStateMachine):
    """Every rule of the machines below does the same to the store and to a model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="streamd-store-"))
        self.clock = ManualClock()
        url = f"sqlite:///{self.directory / 'store.sqlite'}"
        self.store = Store(url, clock=self.clock, lease_clock=self.clock)
        self.store.migrate()

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)


class SessionMachine(StoreMachine):
    """Stream processors and the workers that run them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        # Every epoch a worker was ever given, by session: old ones must stay dead.
        self.given: list[tuple[str, str, int]] = []

    @initialize()
    def begin(self) -> None:
        self.create("a")
        self.start("a")

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        if name in self.model.status:
            with pytest.raises(NameInUseError):
                create_processor(self.store, name)
        else:
            create_processor(self.store, name)
            self.model.status[name] = Status.STOPPED

    @rule(name=NAMES)
    def start(self, name: str) -> None:
        error = self.refusal(name, Event.START_REQUESTED)
        if error is None and len(self.model.runs) >= MAX_SESSIONS:
            error = LimitError
        if error is not None:
            with pytest.raises(error):
                self.store.start_session(ACCOUNT, name, StartRequest(), limit=MAX_SESSIONS)
            return
        session = self.store.start_session(ACCOUNT, name, StartRequest(), limit=MAX_SESSIONS)
        self.model.status[name] = Status.STARTING
        self.model.runs[name] = Run(session.session_id)

    @rule(name=NAMES)
    def stop(self, name: str) -> None:
        if error := self.refusal(name, Event.STOP_REQUESTED):
            with pytest.raises(error):
                self.store.request_stop(ACCOUNT, name)
            return
        self.store.request_stop(ACCOUNT, name)
        self.model.status[name] = Status.STOPPING
        self.model.runs[name].stop_requested = True

    @rule(name=NAMES)
    def update(self, name: str) -> None:
        if error := self.refusal(name, Event.UPDATE_REQUESTED):
            with pytest.raises(error):
                self.store.update_stream_processor(ACCOUNT, name, lambda d: d)
            return
        self.store.update_stream_processor(ACCOUNT, name, lambda d: d)
        self.model.status[name] = Status.STOPPED

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if error := self.refusal(name, Event.DELETE_REQUESTED):
            with pytest.raises(error):
                self.store.delete_stream_processor(ACCOUNT, name)
            return
        self.store.delete_stream_processor(ACCOUNT, name)
        del self.model.status[name]
        self.model.runs.pop(name, None)

    @rule(worker=WORKERS, limit=st.integers(0, 3))
    def claim(self, worker: str, limit: int) -> None:
        free = {n for n, run in self.model.runs.items() if run.lease_until <= self.clock.epoch()}
        claimed = self.store.claim_sessions(worker, limit=limit, lease_seconds=LEASE)
        names = {claim.session.processor_name for claim in claimed}
        assert names <= free
        assert len(claimed) == len(names) == min(limit, len(free))
        for claim in claimed:
            run = self.model.runs[claim.session.processor_name]
            run.epoch, run.owner = run.epoch + 1, worker
            run.lease_until = self.clock.epoch() + LEASE
            assert claim.session.epoch == run.epoch
            assert claim.session.stop_requested == run.stop_requested
            assert claim.processor.status is self.model.status[claim.processor.name]
            self.given.append((worker, run.session_id, run.epoch))

    @rule(worker=WORKERS)
    def renew(self, worker: str) -> None:
        epochs = {sid: epoch for owner, sid, epoch in self.given if owner == worker}
        held = self.store.renew_sessions(worker, epochs, lease_seconds=LEASE)
        mine = [
            run
            for run in self.model.runs.values()
            if run.owner == worker and epochs.get(run.session_id) == run.epoch
        ]
        assert set(held) == {run.session_id for run in mine}
        for run in mine:
            run.lease_until = self.clock.epoch() + LEASE
            assert held[run.session_id].stop_requested == run.stop_requested

    @rule(pick=st.randoms(use_true_random=False))
    def release(self, pick) -> None:  # type: ignore[no-untyped-def]  # a Random of hypothesis
        if not self.given:
            return
        _, session_id, epoch = pick.choice(self.given)
        found = self.held(session_id, epoch)
        if found is None:
            with pytest.raises(StaleEpochError):
                self.store.release_session(session_id, epoch)
            return
        self.store.release_session(session_id, epoch)
        self.model.runs[found].owner = None
        self.model.runs[found].lease_until = 0.0

    @rule(
        pick=st.randoms(use_true_random=False),
        event=st.sampled_from([Event.INPUT_OPENED, Event.SESSION_ENDED, Event.SESSION_FAILED]),
    )
    def report(self, pick, event: Event) -> None:  # type: ignore[no-untyped-def]  # as above
        if not self.given:
            return
        _, session_id, epoch = pick.choice(self.given)
        name = self.held(session_id, epoch)
        if name is None:
            with pytest.raises(StaleEpochError):
                self.store.report(session_id, epoch, event)
            return
        after = next_status(self.model.status[name], event)
        assert after is not None
        assert self.store.report(session_id, epoch, event) is after
        self.model.status[name] = after
        if event is not Event.INPUT_OPENED:
            del self.model.runs[name]

    @rule(seconds=st.sampled_from([0.1, 2.0, 5.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def store_is_as_the_model(self) -> None:
        processors = self.store.list_stream_processors(ACCOUNT, after=None, limit=10)
        assert {p.name: p.status for p in processors} == self.model.status
        for name in self.model.status:
            session = self.store.session(ACCOUNT, name)
            run = self.model.runs.get(name)
            assert (session is None) == (run is None)
            if session is not None and run is not None:
                assert (session.session_id, session.epoch) == (run.session_id, run.epoch)
                assert (session.owner, session.stop_requested) == (run.owner, run.stop_requested)

    def refusal(self, name: str, event: Event) -> type[Exception] | None:
        """Return the error this must be answered with."""
        if name not in self.model.status:
            return NotFoundError
        try:
            next_status(self.model.status[name], event)
        except TransitionError:
            return TransitionError
        return None

    def held(self, session_id: str, epoch: int) -> str | None:
        """Return whose session it is while this epoch may write."""
        for name, run in self.model.runs.items():
            if (run.session_id, run.epoch) == (session_id, epoch) and run.owner is not None:
                return name
        return None


class FaceMachine(StoreMachine):
    """A collection and the cache of its vectors."""

    def __init__(self) -> None:
        super().__init__()
        create_collection(self.store)
        self.cache = CollectionVectors(self.store, self.directory / "cache", clock=self.clock)
        self.numbers: list[int] = []

    @initialize()
    def begin(self) -> None:
        self.add_faces([1, 2, 3, 4, 5, 6, 7, 8])
        self.look_at_vectors()

    @rule(numbers=NUMBERS)
    def add_faces(self, numbers: list[int]) -> None:
        answers = self.store.add_faces(*PEOPLE, [make_face(number) for number in numbers])
        for number, (face, was_new) in zip(numbers, answers, strict=True):
            assert face == make_face(number)[0]
            assert was_new == (number not in self.numbers)
            if was_new:
                self.numbers.append(number)

    @rule(numbers=NUMBERS)
    def delete_faces(self, numbers: list[int]) -> None:
        ids = [make_face(number)[0].face_id for number in numbers]
        expected = [n for n in dict.fromkeys(numbers) if n in self.numbers]
        gone = self.store.delete_faces(*PEOPLE, ids)
        assert gone == [make_face(number)[0].face_id for number in expected]
        self.numbers = [number for number in self.numbers if number not in expected]

    @rule()
    def look_at_vectors(self) -> None:
        snapshot = self.cache.snapshot(*PEOPLE, fresh=True)
        rows = [row for row in range(len(snapshot.vectors)) if snapshot.face(row) is not None]
        assert [int(snapshot.vectors[row][0]) for row in rows] == self.numbers
        dead = np.isnan(snapshot.vectors).any(axis=1).sum() if len(snapshot.vectors) else 0
        assert dead == len(snapshot.vectors) - len(rows)

    @invariant()
    def faces_are_listed(self) -> None:
        page = self.store.list_faces(*PEOPLE, after=None, limit=100)
        assert page.faces == [make_face(number)[0] for number in self.numbers]
        assert self.store.collection(*PEOPLE).face_count == len(self.numbers)


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that steps, compaction and forgetting happen within a few faces.
    monkeypatch.setattr(vectors, "FACES_AT_ONCE", 3)
    monkeypatch.setattr(faces, "REMEMBERED_CHANGES", 3)


SETTINGS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestSessions = SessionMachine.TestCase
TestSessions.settings = SETTINGS
TestFaces = FaceMachine.TestCase
TestFaces.settings = SETTINGS
