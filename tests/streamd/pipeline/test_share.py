"""The policy that spreads sessions, over clusters that are simulated."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.pipeline.share import Move, Picture
from streamd.store import LiveWorker, SpreadSession, WorkerPlace

LOADS = st.one_of(st.none(), st.floats(0.0, 2.0))


class Cluster:
    """Workers and sessions as the store knows them; carries out what the policy says."""

    def __init__(self, threads: Iterable[int] = (), *, max_sessions: int = 1000) -> None:
        self.workers: dict[str, LiveWorker] = {}
        self.sessions: dict[str, SpreadSession] = {}
        self._max_sessions = max_sessions
        for count in threads:
            self.join(count)

    def join(self, threads: int = 1, *, remaining_seconds: float = 5.0) -> str:
        owner = f"w{len(self.workers)}"
        place = WorkerPlace(owner=owner, threads=threads, max_sessions=self._max_sessions)
        self.workers[owner] = LiveWorker(place=place, remaining_seconds=remaining_seconds)
        return owner

    def leave(self, owner: str) -> None:
        """Drain, as SIGTERM does."""
        del self.workers[owner]
        for session in self.of(owner):
            self._set(session, owner=None)

    def start(
        self, stream: str | None = None, *, load: float | None = None, kind: str = "face-search"
    ) -> str:
        session_id = f"s{len(self.sessions):04}"
        self.sessions[session_id] = SpreadSession(
            session_id=session_id,
            account_id="111122223333",
            input_arn=stream or f"arn:{session_id}",
            kind=kind,
            created_at=float(len(self.sessions)),
            stop_requested=False,
            owner=None,
            successor=None,
            load=load,
        )
        return session_id

    def of(self, owner: str | None) -> list[SpreadSession]:
        return [session for session in self.sessions.values() if session.owner == owner]

    @property
    def picture(self) -> Picture:
        return Picture(self.workers.values(), list(self.sessions.values()))

    @property
    def strain(self) -> float:
        """What every round of moves must lower."""
        seats = self.picture._seats.values()
        return sum(seat.load**2 / seat.threads for seat in seats)

    @property
    def counts(self) -> list[int]:
        return [len(self.of(owner)) for owner in self.workers]

    def claim(self) -> None:
        """Let all workers claim what is theirs, by one picture."""
        for owner, session_ids in {w: self.picture.claims(w) for w in self.workers}.items():
            for session_id in session_ids:
                self._set(self.sessions[session_id], owner=owner, successor=None)

    def balance(self, *, at_once: int = 2) -> list[Move]:
        """Move until nothing moves any more; returns the moves."""
        done: list[Move] = []
        if not self.picture.is_uneven():
            return done
        for _ in range(500):
            plan = self.picture.moves()
            if not plan:
                return done
            before = self.strain
            for move in plan[:at_once]:
                for session_id in move.session_ids:
                    assert self.sessions[session_id].owner == move.owner
                    self._set(self.sessions[session_id], owner=None, successor=move.to)
                done.append(move)
            self.claim()
            assert self.strain < before, "to and fro"
        raise AssertionError("moves without an end")

    def _set(self, session: SpreadSession, **values: object) -> None:
        self.sessions[session.session_id] = dataclasses.replace(session, **values)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(("total", "workers"), [(1, 2), (7, 3), (12, 3), (200, 2), (200, 7)])
def test_claims_are_even_within_one(total: int, workers: int) -> None:
    """Started at once and unmeasured, sessions are shared by their number."""
    cluster = Cluster([2] * workers)
    for _ in range(total):
        cluster.start()
    cluster.claim()
    assert sum(cluster.counts) == total
    assert max(cluster.counts) - min(cluster.counts) <= 1


@settings(max_examples=60, deadline=None)
@given(
    threads=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    streams=st.lists(st.tuples(st.integers(0, 9), LOADS), max_size=40),
)
def test_every_free_session_is_claimed_by_exactly_one(
    threads: list[int], streams: list[tuple[int, float | None]]
) -> None:
    """From one picture, no two workers want the same session and none is left."""
    cluster = Cluster(threads)
    for stream, load in streams:
        cluster.start(f"arn:{stream}", load=load)
    picture_of = [cluster.picture.claims(owner) for owner in cluster.workers]
    wanted = Counter(session_id for claims in picture_of for session_id in claims)
    assert wanted == Counter(list(cluster.sessions))


@settings(max_examples=80, deadline=None)
@given(total=st.integers(0, 60), workers=st.integers(1, 6), load=LOADS)
def test_scaling_up_moves_as_little_as_possible(
    total: int, workers: int, load: float | None
) -> None:
    """One more worker: at most ceil(total / n) sessions move, all of them to the new one."""
    cluster = Cluster([1] * workers)
    for _ in range(total):
        cluster.start(load=load)
    cluster.claim()
    new = cluster.join()
    moves = cluster.balance()
    assert len(moves) <= math.ceil(total / (workers + 1))
    assert {move.to for move in moves} <= {new}
    assert max(cluster.counts) - min(cluster.counts) <= max(1, 0.2 * total / (workers + 1))


@settings(max_examples=80, deadline=None)
@given(total=st.integers(0, 60), workers=st.integers(2, 6), load=LOADS)
def test_scaling_down_moves_only_what_was_there(
    total: int, workers: int, load: float | None
) -> None:
    """One worker less: its sessions go to the others, evenly; no other session moves."""
    cluster = Cluster([1] * workers)
    for _ in range(total):
        cluster.start(load=load)
    cluster.claim()
    before = dict(cluster.sessions)
    cluster.leave("w0")
    cluster.claim()
    assert cluster.balance() == []
    moved = [s for s in before if cluster.sessions[s].owner != before[s].owner]
    assert len(moved) <= math.ceil(total / workers)
    assert max(cluster.counts) - min(cluster.counts) <= 1


@settings(max_examples=100, deadline=None)
@given(
    threads=st.lists(st.integers(1, 8), min_size=2, max_size=5),
    held=st.lists(
        st.tuples(st.integers(0, 15), LOADS, st.integers(0, 4), st.booleans()), max_size=40
    ),
)
def test_moves_end_whatever_the_beginning(
    threads: list[int], held: list[tuple[int, float | None, int, bool]]
) -> None:
    """Any loads on any workers: every round is worth it, no label session moves, all gets still."""
    cluster = Cluster(threads)
    for stream, load, seat, is_label in held:
        session_id = cluster.start(
            f"arn:{stream}", load=load, kind="connected-home" if is_label else "face-search"
        )
        owner = f"w{seat % len(threads)}"
        cluster._set(cluster.sessions[session_id], owner=owner)
    labels = {s: v.owner for s, v in cluster.sessions.items() if v.kind == "connected-home"}
    cluster.balance()
    assert cluster.balance() == []
    assert {session_id: cluster.sessions[session_id].owner for session_id in labels} == labels


@settings(max_examples=60, deadline=None)
@given(loads=st.lists(st.floats(0.05, 0.6), min_size=12, max_size=60), workers=st.integers(2, 4))
def test_measured_loads_are_spread(loads: list[float], workers: int) -> None:
    """All on one worker: afterwards none has more than its share, one session and a tolerance."""
    cluster = Cluster([2] * workers)
    for load in loads:
        cluster._set(cluster.sessions[cluster.start(load=load)], owner="w0")
    cluster.balance()
    shares = [sum(s.load + 0.05 for s in cluster.of(w) if s.load) for w in cluster.workers]
    fair = sum(shares) / workers
    assert max(shares) <= max(1.2 * fair, fair + 0.65)


def test_shares_go_by_threads() -> None:
    """A machine with three times the threads gets three times the sessions."""
    cluster = Cluster([6, 2])
    for _ in range(40):
        cluster.start()
    cluster.claim()
    assert cluster.counts == [30, 10]


def test_small_differences_are_left_alone() -> None:
    """One session more or less than the share of ten is no reason to disturb anybody."""
    cluster = Cluster([1, 1])
    for number in range(20):
        session = cluster.sessions[cluster.start(load=0.2)]
        cluster._set(session, owner="w0" if number < 11 else "w1")
    assert not cluster.picture.is_uneven()


def test_session_joins_those_of_its_stream() -> None:
    """A second processor on a stream goes where the stream is read, though others have less."""
    cluster = Cluster([1, 1])
    for _ in range(10):
        cluster.start()
    cluster.claim()
    reader = cluster.sessions["s0000"].owner
    more = cluster.start("arn:s0000")
    cluster.claim()
    assert cluster.sessions[more].owner == reader


def test_stream_is_not_followed_to_a_worker_with_far_too_much() -> None:
    """Togetherness ends where one worker would carry clearly more than its share."""
    cluster = Cluster([1, 1])
    for _ in range(8):
        cluster.start("arn:busy", load=0.5)
    for _ in range(8):
        cluster.start(load=0.1)
    cluster.claim()
    holders = {s.owner for s in cluster.sessions.values() if s.input_arn == "arn:busy"}
    assert holders == {"w0", "w1"}


def test_stream_moves_as_a_whole() -> None:
    """Sessions of one stream are given up together and arrive together."""
    cluster = Cluster([1])
    for number in range(6):
        for _ in range(2):
            cluster.start(f"arn:{number}", load=0.1)
    cluster.claim()
    cluster.join()
    cluster.balance()
    owners = {(s.input_arn, s.owner) for s in cluster.sessions.values()}
    assert len(owners) == 6
    assert cluster.counts == [6, 6]


def test_nothing_moves_to_a_full_or_silent_worker() -> None:
    """There must be room for all of a part, and a beat of late."""
    cluster = Cluster([1], max_sessions=8)
    for _ in range(8):
        cluster.start()
    cluster.claim()
    cluster.join(remaining_seconds=2.0)
    assert cluster.picture.moves(lease_seconds=5.0) == []
    assert len(cluster.picture.moves(lease_seconds=4.0)) == 4
    cluster.workers["w1"] = dataclasses.replace(
        cluster.workers["w1"], place=WorkerPlace(owner="w1", threads=1, max_sessions=1)
    )
    assert len(cluster.picture.moves()) == 1


def test_sessions_that_have_just_come_stay() -> None:
    """What the worker says is to stay is not in the plan; nor what is being stopped."""
    cluster = Cluster([1])
    for _ in range(4):
        cluster.start()
    cluster.claim()
    cluster.join()
    cluster._set(cluster.sessions["s0003"], stop_requested=True)
    moves = cluster.picture.moves(staying={"s0000", "s0001"})
    assert [move.session_ids for move in moves] == [("s0002",)]


def test_session_goes_to_whom_it_was_given_up_for() -> None:
    """Whatever the shares are by then, unless that worker is gone."""
    cluster = Cluster([8, 1])
    session_id = cluster.start()
    cluster._set(cluster.sessions[session_id], successor="w1")
    assert [cluster.picture.claims(owner) for owner in ("w0", "w1")] == [[], [session_id]]
    cluster.workers.pop("w1")
    assert cluster.picture.claims("w0") == [session_id]


def test_session_that_is_given_up_counts_where_it_goes() -> None:
    """Nobody makes a second plan for it while its holder still drains it."""
    cluster = Cluster([1])
    for _ in range(4):
        cluster.start()
    cluster.claim()
    cluster.join()
    for session_id in ("s0000", "s0001"):
        cluster._set(cluster.sessions[session_id], successor="w1")
    assert not cluster.picture.is_uneven()
    assert cluster.picture.moves() == []


def test_held_by_the_dead_is_neither_free_nor_counted() -> None:
    """Until its lease ends, a dead worker's session is nobody's to claim."""
    cluster = Cluster([1, 1])
    cluster._set(cluster.sessions[cluster.start()], owner="gone")
    assert [cluster.picture.claims(owner) for owner in cluster.workers] == [[], []]
    assert not cluster.picture.is_uneven()
