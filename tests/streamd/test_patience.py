"""Waits that are bounded, one after the other."""

from __future__ import annotations

import asyncio

import pytest

from streamd.patience import Patience

LONG = 3600.0


async def test_what_comes_in_time_is_returned() -> None:
    """Again and again."""
    patience = Patience()
    for number in range(3):
        assert await patience.wait(asyncio.sleep(0, number), seconds=LONG) == number
    patience.close()


async def test_a_wait_that_is_too_long_ends() -> None:
    """What was awaited is cancelled, and the task goes on."""
    patience = Patience()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await patience.wait(never, seconds=0.01)
    assert never.cancelled()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert await patience.wait(asyncio.sleep(0, 1), seconds=LONG) == 1


async def test_a_short_wait_after_a_long_one_ends_by_its_own_time() -> None:
    """The timer of the long one does not hold it."""
    patience = Patience()
    await patience.wait(asyncio.sleep(0), seconds=LONG)
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.sleep(LONG), seconds=0.01)


async def test_a_long_wait_after_a_short_one_has_its_time() -> None:
    """A timer that rings too early ends nothing."""
    patience = Patience()
    await patience.wait(asyncio.sleep(0), seconds=0.01)
    assert await patience.wait(asyncio.sleep(0.1, 1), seconds=LONG) == 1
    patience.close()


async def test_a_timer_that_rings_between_two_waits_ends_nothing() -> None:
    """The next wait is bounded all the same."""
    patience = Patience()
    await patience.wait(asyncio.sleep(0), seconds=0.01)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.sleep(LONG), seconds=0.01)


async def test_a_wait_can_be_ended() -> None:
    """At once; where nobody waits it is without effect."""
    patience = Patience()
    patience.end()
    asyncio.get_running_loop().call_soon(patience.end)
    with pytest.raises(TimeoutError):
        await patience.wait(asyncio.sleep(LONG), seconds=LONG)
    patience.close()


async def test_a_cancelled_task_is_cancelled() -> None:
    """Also where the wait ends in the same moment."""
    patience = Patience()

    async def wait() -> None:
        await patience.wait(asyncio.sleep(LONG), seconds=LONG)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    patience.end()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    patience.close()
