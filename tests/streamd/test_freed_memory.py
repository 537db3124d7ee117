"""What was freed goes back to the system, where it can."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from streamd import freed_memory

pytestmark = pytest.mark.skipif(
    freed_memory._trim() is None, reason="this C library has no malloc_trim"
)

# A process of its own: what else this one has freed is not known.
HOLES = """
import os
import numpy as np
from streamd.freed_memory import give_back

def resident_mb():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

np.ones(30_000_000, np.uint8)  # from now on glibc takes such sizes from its heap
pictures, between = [], []
for _ in range(40):
    pictures.append(np.ones(3_000_000, np.uint8))
    between.append(np.ones(100_000, np.uint8))
full = resident_mb()
pictures.clear()
kept = resident_mb()
assert give_back()
print(full - kept, full - resident_mb())
"""


def test_pictures_between_what_lives_are_given_back() -> None:
    """120 MB in holes, which nobody else could use."""
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = map(float, done.stdout.split())
    assert before < 60
    assert after > 100


async def test_again_and_again_until_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the event loop."""
    loop, times = asyncio.get_running_loop(), 0
    done = asyncio.Event()

    def count() -> bool:
        nonlocal times
        times += 1
        if times == 3:
            loop.call_soon_threadsafe(done.set)
        return True

    monkeypatch.setattr(freed_memory, "give_back", count)
    task = asyncio.create_task(freed_memory.keep_giving_back(every_seconds=0.001))
    async with asyncio.timeout(20):
        await done.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_to_do_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without it: the task ends."""
    monkeypatch.setattr(freed_memory, "_trim", lambda: None)
    assert not freed_memory.give_back()
    await freed_memory.keep_giving_back()
