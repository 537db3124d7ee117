"""Files that are read again when they change: keys and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

__all__ = ["POLL_SECONDS", "watching"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0

_State = tuple[tuple[int, int, int] | None, ...]


@contextlib.asynccontextmanager
async def watching(
    paths: Sequence[Path], on_change: Callable[[], object], *, poll_seconds: float = POLL_SECONDS
) -> AsyncIterator[None]:
    """Call ``on_change`` in a thread whenever one of the files is another than before.

    Polling sees what notifications do not: files of network mounts, and the links by which
    Kubernetes swaps a whole directory of secrets.
    """
    if not paths:
        yield
        return
    task = asyncio.create_task(
        _watch(paths, on_change, poll_seconds, await asyncio.to_thread(_state, paths)),
        name="file-watch",
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(
    paths: Sequence[Path], on_change: Callable[[], object], poll_seconds: float, known: _State
) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        state = await asyncio.to_thread(_state, paths)
        if state == known:
            continue
        # Before the call: what changes during it is seen the next time.
        known = state
        try:
            await asyncio.to_thread(on_change)
        except Exception:
            # The wall of this task: the next change must be seen.
            logger.exception("a changed file was not taken over")


def _state(paths: Sequence[Path]) -> _State:
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116  # follows links, as reading does
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(found)
