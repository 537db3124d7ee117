"""Limits of running processes, set and lifted from outside without any privilege (Linux)."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable, Iterator

__all__ = ["limited", "no_room_on_disk"]


@contextlib.contextmanager
def limited(pids: Iterable[int], what: int, value: int) -> Iterator[None]:
    """Lower a soft limit (``resource.RLIMIT_…``) of processes for the length of the block."""
    before = [(pid, resource.prlimit(pid, what)) for pid in pids]
    for pid, (_, hard) in before:
        resource.prlimit(pid, what, (value, hard))
    try:
        yield
    finally:
        for pid, limits in before:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, what, limits)


def no_room_on_disk(pids: Iterable[int]) -> contextlib.AbstractContextManager[None]:
    """Let no file of the processes grow beyond a page: writes fail as on a full disk (EFBIG)."""
    return limited(pids, resource.RLIMIT_FSIZE, 4096)
