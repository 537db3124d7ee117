"""What a service manager is told: ready, stopping, still alive. The protocol of sd_notify(3).

systemd names a datagram socket in ``NOTIFY_SOCKET`` and, where the unit asks for it, the time
within which it wants a sign of life in ``WATCHDOG_USEC``. Where neither is set nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator

__all__ = ["beating", "notify", "watchdog_seconds"]

logger = logging.getLogger(__name__)

BEATS_PER_DEADLINE = 3
"""Two beats may be late before the service manager takes us for dead."""
_MICROSECONDS = 1_000_000


def notify(state: str) -> bool:
    """Send a state, such as ``READY=1``; returns whether somebody is told.

    Trouble with the socket is logged, not raised: a daemon that serves must not end for it.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # "@" stands for the zero byte that abstract names begin with.
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            # A manager that does not read must not hold the event loop.
            sock.settimeout(0)
            sock.connect(name)
            sock.send(state.encode())
    except OSError as error:
        logger.warning("the service manager cannot be told %s: %s", state.partition("\n")[0], error)
        return False
    return True


def watchdog_seconds() -> float | None:
    """Return how often the service manager wants to hear of this process, if at all."""
    try:
        deadline = int(os.environ.get("WATCHDOG_USEC", "0")) / _MICROSECONDS
        watched = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return deadline if deadline > 0 and watched == os.getpid() else None


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Give signs of life from the event loop, so that one that hangs is noticed."""
    deadline = watchdog_seconds()
    if deadline is None:
        yield
        return
    task = asyncio.create_task(_beat(deadline / BEATS_PER_DEADLINE), name="service-watchdog")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(seconds: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
