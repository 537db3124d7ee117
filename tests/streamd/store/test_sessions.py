"""Sessions: claimed once, renewed by their holder, fenced by epoch; over both databases."""

from __future__ import annotations

import multiprocessing
from collections import Counter

import pytest

from streamd.clock import SystemClock
from streamd.kvs.numbers import new_number
from streamd.lifecycle import Event, Status, TransitionError
from streamd.resources import StartRequest
from streamd.store import ClaimedSession, LimitError, StaleEpochError, Store
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, FACE_SEARCH, LABELS, create_processor

LEASE = 5.0


def start(store: Store, name: str, *, limit: int = 1000) -> str:
    """Create and start a stream processor; returns the id of its session."""
    create_processor(store, name)
    return store.start_session(ACCOUNT, name, StartRequest(), limit=limit).session_id


def claim_one(store: Store, owner: str = "worker-1") -> ClaimedSession:
    """Claim the one free session."""
    (claimed,) = store.claim_sessions(owner, limit=10, lease_seconds=LEASE)
    return claimed


def test_claim_gives_the_session_with_its_processor(store: Store) -> None:
    """A claimed session names its owner, its first epoch and what to start with."""
    create_processor(store, "door", LABELS)
    request = StartRequest(producer_timestamp_ms=1_700_000_000_123, max_duration_seconds=7)
    started = store.start_session(ACCOUNT, "door", request, limit=1)
    claimed = claim_one(store)
    assert claimed.session.session_id == started.session_id
    assert claimed.session.start == request
    assert (claimed.session.owner, claimed.session.epoch) == ("worker-1", 1)
    assert claimed.processor == store.stream_processor(ACCOUNT, "door")
    assert claimed.processor.status is Status.STARTING


def test_session_is_claimed_once_and_oldest_first(store: Store, clock: ManualClock) -> None:
    """Two workers share sessions in the order they were started."""
    started = []
    for name in ("c", "a", "b"):
        started.append(start(store, name))
        clock.advance(0.001)
    first = store.claim_sessions("worker-1", limit=2, lease_seconds=LEASE)
    second = store.claim_sessions("worker-2", limit=2, lease_seconds=LEASE)
    assert [claim.session.session_id for claim in first + second] == started
    assert store.claim_sessions("worker-3", limit=2, lease_seconds=LEASE) == []


def test_claim_of_nothing_takes_nothing(store: Store) -> None:
    """A worker without room asks for none."""
    start(store, "door")
    assert store.claim_sessions("worker-1", limit=0, lease_seconds=LEASE) == []
    assert claim_one(store).session.epoch == 1


def test_limit_counts_sessions_of_the_same_kind(store: Store) -> None:
    """Face sessions do not use up the limit of label sessions; a refused start changes nothing."""
    for name, definition in (("f1", FACE_SEARCH), ("f2", FACE_SEARCH), ("l1", LABELS)):
        create_processor(store, name, definition)
    store.start_session(ACCOUNT, "f1", StartRequest(), limit=1)
    with pytest.raises(LimitError, match="limit of 1 reached: face-search sessions"):
        store.start_session(ACCOUNT, "f2", StartRequest(), limit=1)
    store.start_session(ACCOUNT, "l1", StartRequest(), limit=1)
    assert store.stream_processor(ACCOUNT, "f2").status is Status.STOPPED
    assert store.session(ACCOUNT, "f2") is None


def test_start_while_starting_is_refused(store: Store) -> None:
    """There is never a second session."""
    session_id = start(store, "door")
    with pytest.raises(TransitionError):
        store.start_session(ACCOUNT, "door", StartRequest(), limit=10)
    session = store.session(ACCOUNT, "door")
    assert session is not None
    assert session.session_id == session_id


def test_renewed_lease_keeps_others_away(store: Store, clock: ManualClock) -> None:
    """A lease counts from its last renewal."""
    session_id = start(store, "door")
    claim_one(store)
    clock.advance(LEASE - 0.1)
    held = store.renew_sessions("worker-1", {session_id: 1}, lease_seconds=LEASE)
    clock.advance(LEASE - 0.1)
    assert set(held) == {session_id}
    assert store.claim_sessions("worker-2", limit=1, lease_seconds=LEASE) == []


def test_expired_lease_is_claimed_with_the_next_epoch(store: Store, clock: ManualClock) -> None:
    """Another worker takes over, with the checkpoint; the old one finds its session gone."""
    session_id = start(store, "door")
    claim_one(store)
    store.checkpoint(session_id, 1, "91343852333181432392682062607743920494406")
    clock.advance(LEASE)
    taken = claim_one(store, "worker-2").session
    assert (taken.epoch, taken.owner) == (2, "worker-2")
    assert taken.last_fragment_number == "91343852333181432392682062607743920494406"
    assert store.renew_sessions("worker-1", {session_id: 1}, lease_seconds=LEASE) == {}


def test_what_is_still_to_be_read_is_known_by_stream(store: Store, clock: ManualClock) -> None:
    """Behind the last checkpoint, or where it was to begin; of two, behind the one further back."""
    assert store.unread_positions() == {}
    arn = FACE_SEARCH.input_arn
    yard = FACE_SEARCH.model_copy(update={"input_arn": arn.replace("door", "yard")})
    first, second = start(store, "a"), start(store, "b")
    from_now = new_number(None, server_timestamp_ms=int(clock.epoch() * 1000))
    assert store.unread_positions() == {arn: from_now}
    store.claim_sessions("one", limit=2, lease_seconds=LEASE)
    store.checkpoint(first, 1, f"{2**156 + 7:047d}")
    store.checkpoint(second, 1, f"{2**156 + 9:047d}")
    create_processor(store, "c", yard)
    store.start_session(ACCOUNT, "c", StartRequest(fragment_number="123"), limit=9)
    assert store.unread_positions() == {
        arn: f"{2**156 + 7:047d}",
        yard.input_arn: f"{123:047d}",
    }


def test_clock_that_was_set_back_frees_leases_of_the_future(
    store: Store, clock: ManualClock
) -> None:
    """A machine that boots with a wrong clock does not wait for hours; a small step is nothing."""
    create_processor(store, "a")
    store.start_session(ACCOUNT, "a", StartRequest(), limit=1)
    store.claim_sessions("one", limit=1, lease_seconds=5)
    clock.advance(-20)
    assert store.claim_sessions("two", limit=1, lease_seconds=5) == []
    clock.advance(-3600)
    (taken,) = store.claim_sessions("two", limit=1, lease_seconds=5)
    assert taken.session.epoch == 2


def test_late_renewal_is_fine_while_nobody_else_claimed(store: Store, clock: ManualClock) -> None:
    """An expired lease that nobody took is the holder's again."""
    session_id = start(store, "door")
    claim_one(store)
    clock.advance(LEASE * 3)
    assert set(store.renew_sessions("worker-1", {session_id: 1}, lease_seconds=LEASE)) == {
        session_id
    }
    assert store.claim_sessions("worker-2", limit=1, lease_seconds=LEASE) == []


def test_renewal_brings_stop_requests(store: Store) -> None:
    """The holder learns of Stop when it renews; other sessions are not touched by it."""
    door, gate = start(store, "door"), start(store, "gate")
    store.claim_sessions("worker-1", limit=2, lease_seconds=LEASE)
    store.request_stop(ACCOUNT, "door")
    held = store.renew_sessions("worker-1", {door: 1, gate: 1}, lease_seconds=LEASE)
    assert {sid: session.stop_requested for sid, session in held.items()} == {
        door: True,
        gate: False,
    }
    assert store.renew_sessions("worker-1", {}, lease_seconds=LEASE) == {}


def test_released_session_is_free_at_once(store: Store) -> None:
    """A worker that drains hands its session on without waiting for the lease."""
    session_id = start(store, "door")
    claim_one(store)
    store.release_session(session_id, 1)
    with pytest.raises(StaleEpochError):
        store.checkpoint(session_id, 1, "1")
    assert claim_one(store, "worker-2").session.epoch == 2


def test_sessions_of_a_dead_owner_are_free_at_once(store: Store) -> None:
    """Nobody waits for their leases, and what the dead one left half-way cannot be written."""
    for name in ("a", "b", "c"):
        create_processor(store, name)
        store.start_session(ACCOUNT, name, StartRequest(), limit=10)
    (first, second) = store.claim_sessions("dead", limit=2, lease_seconds=60)
    (third,) = store.claim_sessions("alive", limit=2, lease_seconds=60)
    assert store.release_owner("dead") == 2
    assert store.release_owner("dead") == 0
    with pytest.raises(StaleEpochError):
        store.checkpoint(first.session.session_id, first.session.epoch, "1")
    assert store.renew_sessions("dead", {second.session.session_id: 1}, lease_seconds=60) == {}
    taken = store.claim_sessions("alive", limit=10, lease_seconds=60)
    assert [claim.session.processor_name for claim in taken] == ["a", "b"]
    assert [claim.session.epoch for claim in taken] == [2, 2]
    assert third.session.epoch == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda store, sid: store.check_held(sid, 1),
        lambda store, sid: store.checkpoint(sid, 1, "1"),
        lambda store, sid: store.release_session(sid, 1),
        lambda store, sid: store.set_status_message(sid, 1, "hello"),
        lambda store, sid: store.report(sid, 1, Event.INPUT_OPENED),
        lambda store, sid: store.report(sid, 1, Event.SESSION_ENDED),
        lambda store, sid: store.report(sid, 1, Event.SESSION_FAILED, status_message="old news"),
    ],
    ids=["check", "checkpoint", "release", "message", "opened", "ended", "failed"],
)
def test_stale_worker_writes_nothing(store: Store, clock: ManualClock, write) -> None:  # type: ignore[no-untyped-def]  # one lambda per case
    """After a takeover the old epoch is refused and nothing has changed."""
    session_id = start(store, "door")
    claim_one(store)
    clock.advance(LEASE)
    claim_one(store, "worker-2")
    before = store.stream_processor(ACCOUNT, "door"), store.session(ACCOUNT, "door")
    with pytest.raises(StaleEpochError, match="no longer held with epoch 1"):
        write(store, session_id)
    assert (store.stream_processor(ACCOUNT, "door"), store.session(ACCOUNT, "door")) == before


def test_face_session_runs_and_stops(store: Store) -> None:
    """STARTING, RUNNING, STOPPING, STOPPED; the end deletes the session."""
    session_id = start(store, "door")
    claim_one(store)
    assert store.report(session_id, 1, Event.INPUT_OPENED) is Status.RUNNING
    assert store.request_stop(ACCOUNT, "door").status is Status.STOPPING
    assert store.report(session_id, 1, Event.SESSION_ENDED) is Status.STOPPED
    assert store.session(ACCOUNT, "door") is None
    with pytest.raises(StaleEpochError):
        store.report(session_id, 1, Event.SESSION_ENDED)


def test_failure_is_told_in_the_status_message(store: Store) -> None:
    """FAILED carries AWS's text and frees the place under the limit."""
    session_id = start(store, "door", limit=1)
    claim_one(store)
    status = store.report(
        session_id, 1, Event.SESSION_FAILED, status_message="Stream door doesn't exist"
    )
    assert status is Status.FAILED
    assert store.stream_processor(ACCOUNT, "door").status_message == "Stream door doesn't exist"
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)


def test_status_message_comes_and_goes_without_an_update_time(
    store: Store, clock: ManualClock
) -> None:
    """A running session may say something; only changes of status move LastUpdateTimestamp."""
    session_id = start(store, "door")
    claim_one(store)
    before = store.stream_processor(ACCOUNT, "door")
    clock.advance(1)
    store.set_status_message(session_id, 1, "No media is arriving")
    said = store.stream_processor(ACCOUNT, "door")
    assert said.status_message == "No media is arriving"
    assert said.last_updated_at == before.last_updated_at
    assert said.version == before.version + 1
    store.set_status_message(session_id, 1, None)
    assert store.stream_processor(ACCOUNT, "door").status_message is None


def test_holder_of_a_deleted_processor_finds_its_session_gone(store: Store) -> None:
    """Delete while STARTING: renewal drops the session, reports are refused."""
    session_id = start(store, "door")
    claim_one(store)
    store.delete_stream_processor(ACCOUNT, "door")
    assert store.renew_sessions("worker-1", {session_id: 1}, lease_seconds=LEASE) == {}
    with pytest.raises(StaleEpochError):
        store.report(session_id, 1, Event.INPUT_OPENED)


def test_leases_go_by_the_clock_of_the_database(url: str) -> None:
    """Without a clock of its own the store compares leases with the database's."""
    store = Store(url, clock=ManualClock(epoch=0.0))
    store.migrate()
    try:
        start(store, "door")
        assert store.claim_sessions("w1", limit=1, lease_seconds=0.0)[0].session.epoch == 1
        assert store.claim_sessions("w2", limit=1, lease_seconds=60.0)[0].session.epoch == 2
        assert store.claim_sessions("w3", limit=1, lease_seconds=60.0) == []
    finally:
        store.close()


def test_processes_claim_every_session_exactly_once(url: str) -> None:
    """Four processes race for sixty sessions while new ones come in."""
    store = Store(url, clock=SystemClock())
    store.migrate()
    expected = {start(store, f"p{n}") for n in range(40)}
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        answers = [pool.apply_async(_claim_all, (url, f"worker-{n}", 60)) for n in range(4)]
        expected |= {start(store, f"late{n}") for n in range(20)}
        claimed = [session_id for answer in answers for session_id in answer.get(timeout=60)]
    store.close()
    assert Counter(claimed) == Counter(expected)


def _claim_all(url: str, owner: str, total: int) -> list[str]:
    """Claim by threes, note the input open, until all sessions of all workers run."""
    store = Store(url, clock=SystemClock())
    mine: list[str] = []
    while True:
        for claim in store.claim_sessions(owner, limit=3, lease_seconds=60.0):
            assert claim.session.epoch == 1
            status = store.report(claim.session.session_id, 1, Event.INPUT_OPENED)
            assert status is Status.RUNNING
            mine.append(claim.session.session_id)
        running = store.list_stream_processors(ACCOUNT, after=None, limit=1000)
        if sum(processor.status is Status.RUNNING for processor in running) == total:
            store.close()
            return mine
