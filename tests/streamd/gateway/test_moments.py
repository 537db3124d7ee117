"""What is asked for at different times happens at the same moments, not all of it at one."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from streamd.gateway.moments import ENOUGH, SLOTS, Moments, Place

PERIOD = 0.2


async def _called(moments: Moments, count: int, *, rounds: int) -> list[list[int]]:
    """Let so many ask again and again; return in which slots each was called."""
    loop = asyncio.get_running_loop()
    slots: list[list[int]] = [[] for _ in range(count)]
    over = asyncio.Event()

    def come(index: int, place: Place) -> None:
        slots[index].append(int(loop.time() / (PERIOD / SLOTS)))
        if len(slots[index]) < rounds:
            place.at_next(lambda: come(index, place))
        elif all(len(each) == rounds for each in slots):
            over.set()

    for index in range(count):
        place = moments.take_place()
        place.at_next(lambda index=index, place=place: come(index, place))  # type: ignore[misc]  # bound now
        await asyncio.sleep(PERIOD / count)
    async with asyncio.timeout(60):
        await over.wait()
    return slots


async def test_few_are_called_together_once_in_a_period() -> None:
    """Whenever they began to ask."""
    slots = await _called(Moments(PERIOD), 4, rounds=5)
    for each in slots:
        steps = [later - earlier for earlier, later in itertools.pairwise(each)]
        # A busy machine calls late, never early.
        assert sum(steps) >= (len(steps) - 1) * SLOTS
    assert len({each[-1] for each in slots}) <= 2


async def test_a_place_is_left_once() -> None:
    """Who leaves makes room, twice or not."""
    moments = Moments(PERIOD)
    places = [moments.take_place() for _ in range(ENOUGH)]
    places[3].leave()
    places[3].leave()
    assert moments.take_place().slot == places[0].slot
    assert moments.take_place().slot != places[0].slot


async def test_moments_in_use_are_far_apart() -> None:
    """Whoever reads the streams has time for one lot before the next one comes."""
    moments = Moments(PERIOD)
    slots = {moments.take_place().slot for _ in range(4 * ENOUGH)}
    assert slots == {0, SLOTS // 4, SLOTS // 2, 3 * SLOTS // 4}


async def test_many_are_spread_over_the_period() -> None:
    """A moment is filled before the next is used; full ones fill evenly."""
    moments = Moments(PERIOD)
    some = Counter(moments.take_place().slot for _ in range(3 * ENOUGH))
    assert sorted(some.values()) == [ENOUGH] * 3
    for _ in range((SLOTS - 3) * ENOUGH):
        some[moments.take_place().slot] += 1
    assert set(some.values()) == {ENOUGH}
    for _ in range(SLOTS):
        some[moments.take_place().slot] += 1
    assert set(some.values()) == {ENOUGH + 1}


@pytest.mark.parametrize("period", [0.01, 0.1, 1.0])
async def test_none_waits_longer_than_a_period(
    period: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it called at once: the moment asked for lies within the next period."""
    loop, asked = asyncio.get_running_loop(), []
    now = loop.time()
    with monkeypatch.context() as still:
        still.setattr(loop, "time", lambda: now)
        still.setattr(loop, "call_at", lambda at, *_: asked.append(at - now))
        moments = Moments(period)
        for _ in range(SLOTS * ENOUGH):
            moments.take_place().at_next(lambda: None)
    assert len(asked) == SLOTS
    assert -1e-6 < min(asked) <= max(asked) <= period + 1e-6


async def test_an_error_is_no_others() -> None:
    """Who comes after it is called all the same."""
    moments, came = Moments(0.01), asyncio.Event()
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail() -> None:
        raise OSError("gone")

    moments.take_place().at_next(fail)
    moments.take_place().at_next(came.set)
    await came.wait()
    assert [type(each) for each in told] == [OSError]
