"""The lag of an event loop is seen from inside it."""

from __future__ import annotations

import asyncio
import time

from streamd.lag import watch_lag


async def test_a_blocked_loop_is_late() -> None:
    """Whoever blocks the loop shows in what is reported, at least that long."""
    seen: list[float] = []
    looked = asyncio.Event()

    def observe(seconds: float) -> None:
        seen.append(seconds)
        looked.set()

    task = asyncio.create_task(watch_lag(observe, look_seconds=0.01))
    await looked.wait()
    looked.clear()
    time.sleep(0.2)  # noqa: ASYNC251  # the fault that is to be seen
    await looked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert max(seen) >= 0.15
    assert min(seen) >= 0.0
