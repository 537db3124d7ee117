"""Leases of cameras, over both databases."""

from __future__ import annotations

import concurrent.futures

from streamd.store import Store
from tests.streamd.store.test_replicas import beat, create
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT

LEASE = 5.0
CAMERAS = {"door": "door", "yard": "garden"}


def claim(store: Store, replica: str, owner: str = "", **cameras: str) -> set[str]:
    return store.claim_cameras(
        cameras or CAMERAS,
        account_id=ACCOUNT,
        replica_id=replica,
        owner=owner or f"worker-of-{replica}",
        lease_seconds=LEASE,
    )


def renew(store: Store, replica: str) -> set[str]:
    return store.renew_cameras(CAMERAS, owner=f"worker-of-{replica}", lease_seconds=LEASE)


def test_a_camera_is_relayed_by_one(store: Store) -> None:
    """Who comes first has it for as long as it is renewed."""
    assert claim(store, "one") == {"door", "yard"}
    assert claim(store, "two") == set()
    assert renew(store, "one") == {"door", "yard"}
    assert renew(store, "two") == set()
    assert store.camera_holders() == {"door": "one", "yard": "one"}


def test_a_lease_that_ends_is_anybodys(store: Store, clock: ManualClock) -> None:
    """And the former holder, back again, has lost it."""
    claim(store, "one")
    clock.advance(LEASE - 1)
    assert claim(store, "two") == set()
    clock.advance(1.5)
    assert claim(store, "two") == {"door", "yard"}
    assert renew(store, "one") == set()


def test_a_lease_of_another_time_is_void(store: Store, clock: ManualClock) -> None:
    """It was given by a clock that was an hour ahead."""
    clock.advance(3600)
    claim(store, "one")
    clock.advance(-3600)
    assert claim(store, "two") == {"door", "yard"}


def test_released_cameras_are_had_at_once(store: Store) -> None:
    """Those of one worker, or of a whole replica."""
    claim(store, "one", "first", door="door")
    claim(store, "one", "second", yard="garden")
    assert store.release_cameras(owner="first") == 1
    assert claim(store, "two") == {"door"}
    assert store.release_cameras(replica_id="one") == 1
    assert claim(store, "two") == {"yard"}


def test_the_home_of_the_stream_comes_first(store: Store, clock: ManualClock) -> None:
    """Others leave the camera to it for a lease, then take it."""
    beat(store, "one")
    create(store, "door", "one")
    assert claim(store, "two") == {"yard"}
    assert claim(store, "one") == {"door"}
    store.release_cameras(replica_id="one")
    clock.advance(LEASE - 1)
    beat(store, "one")
    assert claim(store, "two", door="door") == set()
    clock.advance(1.5)
    beat(store, "one")
    assert claim(store, "two", door="door") == {"door"}


def test_a_home_that_is_silent_is_not_waited_for(store: Store, clock: ManualClock) -> None:
    """It does not relay anything."""
    beat(store, "one")
    create(store, "door", "one")
    clock.advance(LEASE + 1)
    assert claim(store, "two") == {"door", "yard"}


def test_many_that_claim_share_without_overlap(store: Store) -> None:
    """Every camera is taken once."""
    cameras = {f"camera-{number}": "stream" for number in range(6)}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda n: claim(store, f"replica-{n}", **cameras), range(6)))
    assert sorted(camera for each in taken for camera in each) == sorted(cameras)
