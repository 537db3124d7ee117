"""A control process among its like."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamd.errors import ConfigError
from streamd.metrics import Metrics
from streamd.protocol.identity import AccessKey
from streamd.replicas import Replica, read_replica_id
from streamd.store import Store, StoreUnavailableError
from tests.support.clock import ManualClock
from tests.support.gateway import eventually

HOME_SECONDS = 8.0


class World:
    """Replicas of one store, on one clock."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.is_away = False
        self.metrics = Metrics(CollectorRegistry())

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        if self.is_away:
            raise StoreUnavailableError("away")
        return await asyncio.to_thread(function, *args)

    def replica(self, name: str) -> Replica:
        return Replica(
            replica_id=name,
            store=self.store,
            run_blocking=self.run,
            clock=self.clock,
            metrics=self.metrics,
            own_key=AccessKey(access_key_id=f"KEY{name}", secret="hush", account_id="1" * 12),
            advertised_url=f"http://{name}",
            beat_seconds=0.01,
            home_seconds=HOME_SECONDS,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=clock, lease_clock=clock)
    store.migrate()
    yield World(store, clock)
    store.close()


def test_the_name_stays(tmp_path: Path) -> None:
    """A data directory is one replica over all restarts."""
    name = read_replica_id(tmp_path)
    assert read_replica_id(tmp_path) == name
    assert stat.S_ISREG((tmp_path / "replica-id").stat().st_mode)


def test_a_name_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """It is not made anew: the streams of the old one would be lost."""
    (tmp_path / "replica-id").write_text("gibberish")
    with pytest.raises(ConfigError, match="replica-id"):
        read_replica_id(tmp_path)


async def test_replicas_learn_of_each_other(world: World) -> None:
    """Address and key of the others come with a beat, never one's own."""
    one, two = world.replica("one"), world.replica("two")
    keys: list[str] = []
    two.on_keys = lambda found: keys.extend(key.access_key_id for key in found)
    await one.beat()
    await two.beat()
    assert two.url_of("one") == "http://one"
    assert two.url_of("two") is None
    assert keys == ["KEYone"]
    assert world.metrics.registry.get_sample_value("streamd_replicas") == 2


async def test_one_that_is_alone_is_always_sure(world: World) -> None:
    """Whatever the store does: there is nobody who could take over."""
    one = world.replica("one")
    await one.beat()
    world.clock.advance(1000)
    assert one.is_sure()


async def test_without_a_beat_company_makes_unsure(world: World) -> None:
    """Before the others may take over, and until a beat is heard again."""
    one, two = world.replica("one"), world.replica("two")
    await two.beat()
    await one.beat()
    assert one.is_sure()
    world.clock.advance(HOME_SECONDS - 1)
    assert not one.is_sure()
    await one.beat()
    assert one.is_sure()


async def test_what_a_beat_proves_counts_after_the_look(world: World) -> None:
    """A stream that has moved is let go before anything is promised again."""
    one, two = world.replica("one"), world.replica("two")
    await two.beat()
    await one.beat()
    world.clock.advance(HOME_SECONDS - 1)
    await two.beat()
    seen: list[bool] = []

    async def look() -> None:
        seen.append(one.is_sure())
        if len(seen) == 1:
            raise StoreUnavailableError("away")

    one.on_beat.append(look)
    with pytest.raises(StoreUnavailableError):
        await one.beat()
    assert not one.is_sure()
    await one.beat()
    assert one.is_sure()
    assert seen == [False, False]


async def test_only_who_was_there_can_say_that_another_is_gone(world: World) -> None:
    """Neither one that has just started nor one that was itself away."""
    one, two = world.replica("one"), world.replica("two")
    await one.beat()
    world.clock.advance(100)
    await two.beat()
    assert not two.is_gone("one", after_seconds=HOME_SECONDS)
    for _ in range(4):
        world.clock.advance(HOME_SECONDS / 3)
        await two.beat()
    assert two.is_gone("one", after_seconds=HOME_SECONDS)
    world.clock.advance(HOME_SECONDS * 2)  # the store was away
    await two.beat()
    assert not two.is_gone("one", after_seconds=HOME_SECONDS)


async def test_beats_go_on_through_an_outage(world: World) -> None:
    """The others hear of it again when the store is back."""
    one = world.replica("one")
    async with one.beating("http://ignored"):
        world.is_away = True
        await asyncio.sleep(0)
        world.clock.advance(50)
        world.is_away = False
        await eventually(lambda: world.store.replicas()[0].silent_seconds < 1)


async def test_a_new_start_frees_the_cameras_of_the_last(world: World) -> None:
    """Nobody else can be this replica, so nobody relays for it."""
    world.store.claim_cameras(
        {"door": "door"}, account_id="1" * 12, replica_id="one", owner="dead", lease_seconds=99
    )
    async with world.replica("one").beating("http://one"):
        assert await asyncio.to_thread(world.store.camera_holders) == {}


async def test_a_look_again_is_not_for_nothing(world: World) -> None:
    """Right after a beat there is nothing new to learn."""
    one = world.replica("one")
    await one.beat()
    await world.replica("two").beat()
    await one.look_again()
    assert one.url_of("two") is None
    world.clock.advance(1)
    await one.look_again()
    assert one.url_of("two") == "http://two"
