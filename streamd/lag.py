"""How late an event loop is: the time a task that is due waits for others to let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LOOK_SECONDS", "watch_lag"]

LOOK_SECONDS = 0.5


async def watch_lag(
    observe: Callable[[float], None], *, look_seconds: float = LOOK_SECONDS
) -> None:
    """Report again and again, until cancelled, by how many seconds a sleep was too long.

    Args:
        observe: Given the seconds, 0 or more.
        look_seconds: Length of each sleep.

    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + look_seconds
        await asyncio.sleep(look_seconds)
        observe(max(0.0, loop.time() - due))
