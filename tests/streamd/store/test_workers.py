"""Workers: they beat by the database's clock and see alike who runs what; over both databases."""

from __future__ import annotations

import pytest

from streamd.resources import StartRequest
from streamd.store import Store, WorkerPlace
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, FACE_SEARCH, LABELS, create_processor

LEASE = 5.0
ONE = WorkerPlace(owner="one", threads=4, max_sessions=10)
TWO = WorkerPlace(owner="two", threads=2, max_sessions=20)


def live(store: Store) -> list[str]:
    """Return the names of the workers that beat."""
    return [worker.place.owner for worker in store.live_workers(lease_seconds=LEASE)]


def start(store: Store, name: str) -> str:
    """Create and start a stream processor; returns the id of its session."""
    create_processor(store, name)
    return store.start_session(ACCOUNT, name, StartRequest(), limit=100).session_id


def test_registered_worker_is_known_with_what_it_offers(store: Store, clock: ManualClock) -> None:
    """Others see its threads and its room, and how long ago it beat."""
    store.register_worker(ONE, lease_seconds=LEASE)
    clock.advance(2.0)
    store.register_worker(TWO, lease_seconds=LEASE)
    first, second = store.live_workers(lease_seconds=LEASE)
    assert (first.place, second.place) == (ONE, TWO)
    assert (first.remaining_seconds, second.remaining_seconds) == pytest.approx((3.0, 5.0))


def test_worker_lives_as_long_as_it_renews(store: Store, clock: ManualClock) -> None:
    """A renewal is a beat, also of a worker without sessions; one that drains does not beat."""
    for place in (ONE, TWO):
        store.register_worker(place, lease_seconds=LEASE)
    clock.advance(LEASE - 0.1)
    store.renew_sessions("one", {}, lease_seconds=LEASE, place=ONE)
    store.renew_sessions("two", {}, lease_seconds=LEASE)
    clock.advance(0.2)
    assert live(store) == ["one"]
    store.renew_sessions("two", {}, lease_seconds=LEASE, place=TWO)
    assert live(store) == ["one", "two"]


def test_worker_of_a_clock_that_was_ahead_is_dead(store: Store, clock: ManualClock) -> None:
    """Its row would hold for hours; one that lives beats again at once."""
    for place in (ONE, TWO):
        store.register_worker(place, lease_seconds=LEASE)
    clock.advance(-3600)
    assert live(store) == []
    store.renew_sessions("one", {}, lease_seconds=LEASE, place=ONE)
    assert live(store) == ["one"]


def test_rows_of_the_dead_go(store: Store, clock: ManualClock) -> None:
    """Drained or found dead: at once; silent: when another one begins, much later."""
    for name in ("drained", "killed", "silent"):
        place = WorkerPlace(owner=name, threads=1, max_sessions=1)
        store.register_worker(place, lease_seconds=LEASE)
    store.remove_worker("drained")
    store.remove_worker("drained")
    store.release_owner("killed")
    assert live(store) == ["silent"]
    clock.advance(12 * LEASE)
    store.register_worker(ONE, lease_seconds=LEASE)
    clock.advance(-12 * LEASE)  # what a row of the silent one would need to be seen
    store.renew_sessions("one", {}, lease_seconds=LEASE, place=ONE)
    assert live(store) == ["one"]


def test_sessions_are_listed_with_holder_stream_and_load(store: Store, clock: ManualClock) -> None:
    """What matters to those who share the work, of sessions held and free."""
    create_processor(store, "held", FACE_SEARCH.model_copy(update={"input_arn": "arn:a"}))
    create_processor(store, "free", LABELS.model_copy(update={"input_arn": "arn:b"}))
    held = store.start_session(ACCOUNT, "held", StartRequest(), limit=9).session_id
    clock.advance(1.0)
    store.claim_sessions("one", limit=1, lease_seconds=LEASE)
    store.renew_sessions("one", {held: 1}, lease_seconds=LEASE, place=ONE, loads={held: 0.25})
    store.start_session(ACCOUNT, "free", StartRequest(), limit=9)
    store.request_stop(ACCOUNT, "held")
    first, second = store.spread_sessions(lease_seconds=LEASE)
    assert (first.session_id, first.account_id) == (held, ACCOUNT)
    assert (first.input_arn, first.kind) == ("arn:a", "face-search")
    assert (first.owner, first.load, first.stop_requested) == ("one", 0.25, True)
    assert (second.input_arn, second.kind) == ("arn:b", LABELS.settings.kind)
    assert (second.owner, second.load, second.stop_requested) == (None, None, False)
    assert store.has_free_sessions(lease_seconds=LEASE)


def test_load_stays_with_the_session(store: Store, clock: ManualClock) -> None:
    """Whoever takes over knows it; one that has lost the session cannot change it."""
    session_id = start(store, "door")
    store.claim_sessions("one", limit=1, lease_seconds=LEASE)
    store.renew_sessions("one", {session_id: 1}, lease_seconds=LEASE, loads={session_id: 0.5})
    clock.advance(LEASE)
    (free,) = store.spread_sessions(lease_seconds=LEASE)
    assert (free.owner, free.load) == (None, 0.5)
    store.claim_sessions("two", limit=1, lease_seconds=LEASE)
    store.renew_sessions("one", {session_id: 1}, lease_seconds=LEASE, loads={session_id: 9.0})
    (taken,) = store.spread_sessions(lease_seconds=LEASE)
    assert (taken.owner, taken.load) == ("two", 0.5)
    assert not store.has_free_sessions(lease_seconds=LEASE)


def test_successor_is_known_until_the_session_is_claimed(store: Store) -> None:
    """While it is held and when it is free; who does not hold it names none."""
    session_id = start(store, "door")
    store.claim_sessions("one", limit=1, lease_seconds=LEASE)
    store.name_successor("other", [session_id], "other")
    assert store.spread_sessions(lease_seconds=LEASE)[0].successor is None
    store.name_successor("one", [session_id], "two")
    assert store.spread_sessions(lease_seconds=LEASE)[0].successor == "two"
    store.release_session(session_id, 1)
    assert store.spread_sessions(lease_seconds=LEASE)[0].successor == "two"
    store.claim_sessions("two", limit=1, lease_seconds=LEASE)
    assert store.spread_sessions(lease_seconds=LEASE)[0].successor is None


def test_claim_takes_only_what_it_names(store: Store) -> None:
    """Of the sessions named, those that are free; no others."""
    ids = [start(store, name) for name in ("a", "b", "c")]
    store.claim_sessions("one", limit=1, lease_seconds=LEASE, among=[ids[0]])
    claimed = store.claim_sessions("two", limit=9, lease_seconds=LEASE, among=ids[:2])
    assert [claim.session.session_id for claim in claimed] == [ids[1]]
    assert store.claim_sessions("two", limit=9, lease_seconds=LEASE, among=[]) == []
