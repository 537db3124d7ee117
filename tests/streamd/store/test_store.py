"""Random work against small models: workers with leases and a clock that moves; faces; users."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamd.lifecycle import Event, Status, TransitionError, next_status
from streamd.resources import FacesChange, RefusalReason, StartRequest
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    RequestToken,
    StaleEpochError,
    Store,
    TokenMismatchError,
    face_rows,
    user_faces,
    vectors,
)
from streamd.store.galleries import gallery_of
from streamd.store.vectors import CollectionVectors
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_collection, create_processor, make_face

NAMES = st.sampled_from(["a", "b"])
WORKERS = st.sampled_from(["w1", "w2"])
FEW = st.lists(st.integers(1, 7), min_size=1, max_size=4)
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
        gone = self.store.delete_faces(*PEOPLE, ids).deleted
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


@dataclass(frozen=True)
class Said:
    """A request with a token, and what it was answered."""

    user_id: str
    numbers: tuple[int, ...]
    answer: FacesChange


class UserMachine(StoreMachine):
    """Users of a collection with a few faces, tokens, and the cache of users' vectors."""

    def __init__(self) -> None:
        super().__init__()
        create_collection(self.store)
        self.cache = CollectionVectors(self.store, self.directory / "cache", clock=self.clock)
        self.users: dict[str, set[int]] = {}
        self.faces = {1, 2, 3, 4, 5, 6}
        self.said: dict[str, Said] = {}
        self.store.add_faces(*PEOPLE, [make_face(number) for number in self.faces])

    @initialize()
    def begin(self) -> None:
        self.create("a")
        self.associate("a", [1, 2], threshold=0.0)

    @rule(user_id=NAMES)
    def create(self, user_id: str) -> None:
        if user_id in self.users:
            with pytest.raises(NameInUseError):
                self.store.create_user(*PEOPLE, user_id)
            return
        self.store.create_user(*PEOPLE, user_id)
        self.users[user_id] = set()

    @rule(user_id=NAMES)
    def delete(self, user_id: str) -> None:
        if user_id not in self.users:
            with pytest.raises(NotFoundError):
                self.store.delete_user(*PEOPLE, user_id)
            return
        self.store.delete_user(*PEOPLE, user_id)
        del self.users[user_id]

    @rule(user_id=NAMES, numbers=FEW, threshold=st.sampled_from([0.0, 97.0, 100.0]))
    def associate(self, user_id: str, numbers: list[int], threshold: float) -> None:
        if user_id not in self.users:
            with pytest.raises(NotFoundError):
                self.ask(user_id, numbers, threshold, None)
            return
        own = self.users[user_id]
        mean = sum(own) / len(own) if own else None
        taken, refused = [], []
        for number in dict.fromkeys(numbers):
            owner = self.owner(number)
            # Faces differ by their number in each of four dimensions: 2 % for each.
            percent = 100.0 if mean is None else 100.0 - 2 * abs(number - mean)
            if owner == user_id:
                continue
            if number not in self.faces:
                refused.append((number, RefusalReason.FACE_NOT_FOUND))
            elif owner is not None:
                refused.append((number, RefusalReason.ASSOCIATED_TO_A_DIFFERENT_USER))
            elif percent < threshold - 1e-4:
                refused.append((number, RefusalReason.LOW_MATCH_CONFIDENCE))
            else:
                taken.append(number)
        room = user_faces.MAX_FACES_OF_USER - len(own)
        if taken and room <= 0:
            with pytest.raises(LimitError):
                self.ask(user_id, numbers, threshold, None)
            return
        change = self.ask(user_id, numbers, threshold, None)
        assert list(change.changed) == [face_id_of(number) for number in taken[:room]]
        told = [(refusal.face_id, refusal.reason) for refusal in change.refused]
        expected = [(face_id_of(number), reason) for number, reason in refused]
        full = [(face_id_of(number), None) for number in taken[room:]]
        assert sorted(told, key=str) == sorted([*expected, *full], key=str)
        own.update(taken[:room])

    @rule(user_id=NAMES, numbers=FEW)
    def disassociate(self, user_id: str, numbers: list[int]) -> None:
        ids = [face_id_of(number) for number in numbers]
        if user_id not in self.users:
            with pytest.raises(NotFoundError):
                self.store.disassociate_faces(*PEOPLE, user_id, ids)
            return
        own = self.users[user_id]
        change = self.store.disassociate_faces(*PEOPLE, user_id, ids)
        gone = [number for number in dict.fromkeys(numbers) if number in own]
        assert list(change.changed) == [face_id_of(number) for number in gone]
        own.difference_update(gone)
        assert change.user.face_count == len(own)

    @rule(user_id=NAMES, numbers=FEW, name=st.sampled_from(["t1", "t2"]))
    def ask_with_a_token(self, user_id: str, numbers: list[int], name: str) -> None:
        said = self.said.get(name)
        request = RequestToken(
            operation="AssociateFaces", token=name, fingerprint=f"{user_id} {numbers}"
        )
        if said is None:
            if user_id not in self.users:
                return
            before = {user: set(own) for user, own in self.users.items()}
            try:
                answer = self.ask(user_id, numbers, 0.0, request)
            except LimitError:
                assert self.users == before
                return
            self.users[user_id].update(number_of(face_id) for face_id in answer.changed)
            self.said[name] = Said(user_id, tuple(numbers), answer)
        elif (said.user_id, list(said.numbers)) == (user_id, numbers):
            assert self.ask(user_id, numbers, 0.0, request) == said.answer
        else:
            with pytest.raises(TokenMismatchError):
                self.ask(user_id, numbers, 0.0, request)

    @rule(numbers=FEW)
    def delete_faces(self, numbers: list[int]) -> None:
        ids = [face_id_of(number) for number in numbers]
        outcome = self.store.delete_faces(*PEOPLE, ids)
        held = {face_id_of(n): owner for n in numbers if (owner := self.owner(n)) is not None}
        assert outcome.associated == held
        gone = [n for n in dict.fromkeys(numbers) if n in self.faces and self.owner(n) is None]
        assert outcome.deleted == [face_id_of(number) for number in gone]
        self.faces.difference_update(gone)

    @rule(numbers=FEW)
    def add_faces(self, numbers: list[int]) -> None:
        for face, _ in self.store.add_faces(*PEOPLE, [make_face(number) for number in numbers]):
            assert face.user_id == self.owner(number_of(face.face_id))
        self.faces.update(numbers)

    @rule()
    def forget_tokens(self) -> None:
        self.clock.advance(8 * 3600)
        self.said.clear()

    @rule()
    def look_at_vectors(self) -> None:
        if not any(self.users.values()):
            return  # there may be no gallery yet
        gallery = gallery_of(self.store.collection(*PEOPLE))
        snapshot = self.cache.snapshot(*gallery, fresh=True)
        found: dict[str, float] = {}
        for row in range(len(snapshot.vectors)):
            face = snapshot.face(row)
            if face is not None:
                assert face.external_image_id is not None
                assert face.external_image_id not in found
                found[face.external_image_id] = float(snapshot.vectors[row][0])
        means = {user: sum(own) / len(own) for user, own in self.users.items() if own}
        assert found == pytest.approx(means)

    @invariant()
    def store_is_as_the_model(self) -> None:
        listed = self.store.list_users(*PEOPLE, after=None, limit=9).users
        assert [user.user_id for user in listed] == list(self.users)
        assert [user.face_count for user in listed] == [len(own) for own in self.users.values()]
        faces = self.store.list_faces(*PEOPLE, after=None, limit=99).faces
        assert {number_of(face.face_id): face.user_id for face in faces} == {
            number: self.owner(number) for number in self.faces
        }
        collection = self.store.collection(*PEOPLE)
        assert (collection.user_count, collection.face_count) == (len(self.users), len(self.faces))

    def ask(
        self, user_id: str, numbers: list[int], threshold: float, request: RequestToken | None
    ) -> FacesChange:
        return self.store.associate_faces(
            *PEOPLE,
            user_id,
            [face_id_of(number) for number in numbers],
            similarity_percent=lambda distance: max(0.0, 100.0 - distance),
            threshold_percent=threshold,
            request=request,
        )

    def owner(self, number: int) -> str | None:
        return next((user for user, own in self.users.items() if number in own), None)


def face_id_of(number: int) -> str:
    return make_face(number)[0].face_id


def number_of(face_id: str) -> int:
    return uuid.UUID(face_id).int


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that steps, compaction and forgetting happen within a few faces.
    monkeypatch.setattr(vectors, "FACES_AT_ONCE", 3)
    monkeypatch.setattr(face_rows, "REMEMBERED_CHANGES", 3)
    monkeypatch.setattr(user_faces, "MAX_FACES_OF_USER", 3)


SETTINGS = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestSessions = SessionMachine.TestCase
TestSessions.settings = SETTINGS
TestFaces = FaceMachine.TestCase
TestFaces.settings = SETTINGS
TestUsers = UserMachine.TestCase
TestUsers.settings = SETTINGS
