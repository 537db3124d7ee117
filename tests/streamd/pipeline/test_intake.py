"""The buffer between source and analysis."""

from __future__ import annotations

import asyncio

from streamd.pipeline.intake import Intake


async def test_urgent_item_releases_the_batch() -> None:
    """Items wait until an urgent one comes, then all are taken in order."""
    intake: Intake[int] = Intake(max_bytes=100)
    await intake.put([(1, 1)])
    taker = asyncio.create_task(intake.take())
    await asyncio.sleep(0)
    assert not taker.done()
    await intake.put([(2, 1)], urgent=True)
    assert await taker == [1, 2]


async def test_half_full_buffer_releases_the_batch() -> None:
    """Decoding goes on even if no frame is due for analysis."""
    intake: Intake[int] = Intake(max_bytes=100)
    await intake.put([(1, 49)])
    await intake.put([(2, 1)])
    assert await intake.take() == [1, 2]


async def test_full_buffer_makes_the_giver_wait() -> None:
    """The bound holds: put returns only when a batch was taken."""
    intake: Intake[int] = Intake(max_bytes=10)
    await intake.put([(1, 10)])
    giver = asyncio.create_task(intake.put([(2, 5)], urgent=True))
    await asyncio.sleep(0)
    assert not giver.done()
    assert await intake.take() == [1]
    await giver
    assert intake.buffered_bytes == 5
    assert await intake.take() == [2]


async def test_item_larger_than_the_bound_passes() -> None:
    """A single huge block does not wait for room that never comes."""
    intake: Intake[int] = Intake(max_bytes=10)
    await intake.put([(1, 50)])
    assert await intake.take() == [1]


async def test_backlog_comes_in_pieces() -> None:
    """A batch has a bound; the rest follows at once, in order."""
    intake: Intake[int] = Intake(max_bytes=100, max_batch=2)
    for number in range(5):
        await intake.put([(number, 1)], urgent=True)
    assert [await intake.take() for _ in range(3)] == [[0, 1], [2, 3], [4]]
    assert intake.buffered_bytes == 0


async def test_closing_hands_out_the_rest_then_nothing() -> None:
    """After close the rest is taken, then an empty batch says the end."""
    intake: Intake[int] = Intake(max_bytes=10)
    await intake.put([(1, 1)])
    intake.close()
    assert await intake.take() == [1]
    assert await intake.take() == []


async def test_discarding_forgets_and_frees_a_waiting_giver() -> None:
    """Stopping a session neither analyses the backlog nor leaves its reader hanging."""
    intake: Intake[int] = Intake(max_bytes=10)
    await intake.put([(1, 10)])
    giver = asyncio.create_task(intake.put([(2, 1)]))
    await asyncio.sleep(0)
    intake.discard()
    await giver
    assert await intake.take() == []
