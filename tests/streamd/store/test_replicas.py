"""Replicas in the store, and the homes of streams, over both databases."""

from __future__ import annotations

import concurrent.futures

import pytest

from streamd.resources import VideoStream
from streamd.store import NotFoundError, SeenReplica, Store
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT

GONE = 10.0


def beat(store: Store, name: str) -> dict[str, SeenReplica]:
    seen = store.beat(name, url=f"http://{name}", access_key_id=f"KEY{name}", secret="hush")
    return {replica.replica_id: replica for replica in seen}


def create(store: Store, name: str = "door", home: str | None = None) -> VideoStream:
    return store.create_video_stream(
        account_id=ACCOUNT,
        name=name,
        arn=f"arn:aws:kinesisvideo:us-east-1:{ACCOUNT}:stream/{name}/1",
        tags={},
        limit=10,
        home=home,
    )


def home_of(store: Store, name: str = "door") -> str | None:
    return store.video_stream(ACCOUNT, name=name).home


def test_a_beat_tells_who_else_is_there(store: Store, clock: ManualClock) -> None:
    """Where they are reached, with what key, and for how long they have been silent."""
    beat(store, "one")
    clock.advance(4)
    seen = beat(store, "two")
    assert seen["one"].url == "http://one"
    assert (seen["one"].access_key_id, seen["one"].secret) == ("KEYone", "hush")
    assert seen["one"].silent_seconds == pytest.approx(4)
    assert seen["two"].silent_seconds == pytest.approx(0)
    assert "hush" not in repr(seen["one"])


def test_a_beat_moves_the_address(store: Store) -> None:
    """A replica that comes back elsewhere is found there."""
    beat(store, "one")
    store.beat("one", url="http://elsewhere", access_key_id="NEW", secret="new")
    assert [(r.url, r.access_key_id) for r in store.beat(
        "one", url="http://elsewhere", access_key_id="NEW", secret="new"
    )] == [("http://elsewhere", "NEW")]  # fmt: skip


def test_replicas_are_counted_with_their_streams(store: Store) -> None:
    """For the doctor, without their secrets."""
    beat(store, "one")
    create(store, "door", "one")
    create(store, "yard", "one")
    (replica,) = store.replicas()
    assert (replica.streams, replica.secret) == (2, "")


def test_replicas_of_long_ago_are_forgotten(store: Store, clock: ManualClock) -> None:
    """Unless they are the home of a stream: its fragments may come back."""
    beat(store, "left")
    beat(store, "home")
    create(store, home="home")
    clock.advance(40 * 24 * 3600)
    assert beat(store, "new").keys() == {"home", "new"}


def test_a_living_home_keeps_its_stream(store: Store, clock: ManualClock) -> None:
    """Whoever wants it is told the home there is."""
    beat(store, "one")
    stream = create(store, home="one")
    clock.advance(GONE - 1)
    assert store.adopt_video_stream(stream, home="two", after_seconds=GONE).home == "one"
    assert home_of(store) == "one"


def test_a_home_that_is_gone_loses_its_stream(store: Store, clock: ManualClock) -> None:
    """To the first that asks; the second is told so, and the version stays."""
    beat(store, "one")
    stream = create(store, home="one")
    clock.advance(GONE + 1)
    beat(store, "two")
    beat(store, "three")
    adopted = store.adopt_video_stream(stream, home="two", after_seconds=GONE)
    assert (adopted.home, adopted.version) == ("two", stream.version)
    assert store.adopt_video_stream(stream, home="three", after_seconds=GONE).home == "two"
    beat(store, "one")
    assert home_of(store) == "two"


def test_a_beat_before_the_adoption_counts(store: Store, clock: ManualClock) -> None:
    """The home was silent when it was looked at, but not when it was to be taken."""
    beat(store, "one")
    stream = create(store, home="one")
    clock.advance(GONE + 1)
    beat(store, "one")
    assert store.adopt_video_stream(stream, home="two", after_seconds=GONE).home == "one"


def test_a_beat_of_another_time_does_not_count(store: Store, clock: ManualClock) -> None:
    """The database's clock was an hour ahead when the home was seen last."""
    clock.advance(3600)
    beat(store, "one")
    stream = create(store, home="one")
    clock.advance(-3600)
    assert store.adopt_video_stream(stream, home="two", after_seconds=GONE).home == "two"


@pytest.mark.parametrize("home", [None, "never seen"])
def test_a_stream_without_a_home_is_had_at_once(store: Store, home: str | None) -> None:
    """It is from before there were homes, or its home is not in this store."""
    stream = create(store, home=home)
    assert store.adopt_video_stream(stream, home="two", after_seconds=GONE).home == "two"


def test_of_many_that_adopt_one_does(store: Store, clock: ManualClock) -> None:
    """All are told the same home."""
    beat(store, "gone")
    stream = create(store, home="gone")
    clock.advance(GONE + 1)
    names = [f"replica-{number}" for number in range(8)]
    for name in names:
        beat(store, name)
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        adopted = pool.map(
            lambda name: store.adopt_video_stream(stream, home=name, after_seconds=GONE).home,
            names,
        )
        homes = set(adopted)
    assert homes == {home_of(store)}
    assert homes <= set(names)


def test_a_deleted_stream_is_not_adopted(store: Store) -> None:
    """Not even where another of its name has been made."""
    stream = create(store, home="gone")
    store.delete_video_stream(ACCOUNT, name="door")
    with pytest.raises(NotFoundError):
        store.adopt_video_stream(stream, home="two", after_seconds=GONE)


def test_homes_are_given_to_streams_without_one(store: Store) -> None:
    """Once, and not to those that have one."""
    arns = [create(store, "door").arn, create(store, "yard", "one").arn]
    assert store.give_home([*arns, "arn:of:nothing"], home="two") == 1
    assert store.give_home(arns, home="three") == 0
    assert (home_of(store, "door"), home_of(store, "yard")) == ("two", "one")
    assert {a: s.name for a, s in store.video_streams_by_arn([*arns, "x"]).items()} == dict(
        zip(arns, ("door", "yard"), strict=True)
    )
