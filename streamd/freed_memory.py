"""Memory that was freed, given back to the system.

glibc keeps what lies below something still in use: pictures of 3 MB each that many decoders have
let go of, while their streams were learnt, would stay with the process for good (11 MB a stream,
measured).
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
from collections.abc import Callable
from typing import Final

__all__ = ["give_back", "keep_giving_back"]

EVERY_SECONDS: Final = 20.0


def give_back() -> bool:
    """Give back what can be; a few milliseconds. Returns whether this platform can do it."""
    trim = _trim()
    if trim is None:
        return False
    trim(0)
    return True


async def keep_giving_back(*, every_seconds: float = EVERY_SECONDS) -> None:
    """Do so again and again, off the event loop, until cancelled."""
    while _trim() is not None:
        await asyncio.sleep(every_seconds)
        await asyncio.to_thread(give_back)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """Return ``malloc_trim(3)``, which glibc has alone."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim
