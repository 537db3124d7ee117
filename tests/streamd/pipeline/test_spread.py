"""When a worker claims and gives up, on a real store with a clock that is advanced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.pipeline.spread import MOVES_AT_ONCE, PATIENCE_SECONDS, WorkSpreader
from streamd.resources import StartRequest
from streamd.store import Store, WorkerPlace
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, FACE_SEARCH, create_processor

LEASE = 5.0
ROOM = 100


class Cluster:
    """Workers that share a store, and time that passes for all of them."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self._clock = clock
        self.spreaders: dict[str, WorkSpreader] = {}
        self._started = 0

    def join(self, owner: str) -> WorkSpreader:
        place = WorkerPlace(owner=owner, threads=1, max_sessions=ROOM)
        self.store.register_worker(place, lease_seconds=LEASE)
        self.spreaders[owner] = WorkSpreader(
            place=place, store=self.store, lease_seconds=LEASE, monotonic=self._clock.epoch
        )
        return self.spreaders[owner]

    def start(self, count: int) -> None:
        for _ in range(count):
            name = f"cam-{self._started}"
            definition = FACE_SEARCH.model_copy(update={"input_arn": f"arn:{name}"})
            create_processor(self.store, name, definition)
            self.store.start_session(ACCOUNT, name, StartRequest(), limit=1000)
            self._started += 1

    def claim(self, owner: str) -> int:
        wanted = self.spreaders[owner].to_claim(ROOM)
        return len(
            self.store.claim_sessions(owner, limit=ROOM, lease_seconds=8 * LEASE, among=wanted)
            if wanted
            else []
        )

    def beat(self, seconds: float) -> None:
        self._clock.advance(seconds)
        for owner, spreader in self.spreaders.items():
            self.store.renew_sessions(owner, {}, lease_seconds=LEASE, place=spreader.place)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    clock = ManualClock()
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=clock, lease_clock=clock)
    store.migrate()
    yield Cluster(store, clock)
    store.close()


def test_whoever_comes_first_leaves_the_others_their_share(cluster: Cluster) -> None:
    """Of ten sessions the first of two workers takes five at once, and then no more."""
    cluster.join("a")
    cluster.join("b")
    cluster.start(10)
    assert [cluster.claim("a"), cluster.claim("a"), cluster.claim("b")] == [5, 0, 5]


def test_what_others_do_not_take_is_taken_after_a_while(cluster: Cluster) -> None:
    """A worker that lives but does not claim costs patience, not sessions."""
    cluster.join("a")
    cluster.join("b")
    cluster.start(4)
    assert [cluster.claim("a"), cluster.claim("a")] == [2, 0]
    cluster.beat(PATIENCE_SECONDS / 2)
    assert cluster.claim("a") == 0
    cluster.beat(PATIENCE_SECONDS / 2)
    assert cluster.claim("a") == 2


def test_room_is_the_limit(cluster: Cluster) -> None:
    """A worker claims no more than it has room for."""
    spreader = cluster.join("a")
    cluster.start(4)
    assert len(spreader.to_claim(3)) == 3
    assert spreader.to_claim(0) == []


def test_surplus_is_given_up_few_at_a_time_at_the_second_look(cluster: Cluster) -> None:
    """One look may see a claim half-way; then a few sessions go, for the one without any."""
    spreader = cluster.join("a")
    cluster.start(12)
    assert cluster.claim("a") == 12
    cluster.join("b")
    assert spreader.to_release(frozenset()) == []
    moves = spreader.to_release(frozenset())
    assert len(moves) == 2 * MOVES_AT_ONCE
    assert {(move.owner, move.to) for move in moves} == {("a", "b")}


def test_nothing_is_given_up_while_something_is_free(cluster: Cluster) -> None:
    """What was given up is taken first; then it goes on until the shares are even."""
    spreader = cluster.join("a")
    cluster.start(6)
    cluster.claim("a")
    cluster.join("b")
    held = {s.session_id: s for s in cluster.store.spread_sessions(lease_seconds=LEASE)}
    spreader.to_release(frozenset())
    moved = 0
    while moves := spreader.to_release(frozenset()):
        for session_id in [sid for move in moves for sid in move.session_ids]:
            assert held[session_id].owner == "a"
            cluster.store.release_session(session_id, 1)
        assert spreader.to_release(frozenset()) == []
        assert [cluster.claim("a"), cluster.claim("b")] == [0, len(moves)]
        moved += len(moves)
    assert moved == 3


def test_worker_alone_keeps_everything(cluster: Cluster) -> None:
    """Nor does it give up anything to one that has died."""
    spreader = cluster.join("a")
    cluster.start(6)
    cluster.claim("a")
    cluster.join("b")
    del cluster.spreaders["b"]
    cluster.beat(LEASE)
    assert [spreader.to_release(frozenset()) for _ in range(3)] == [[], [], []]
