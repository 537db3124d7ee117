"""Processes that are suspended, as a debugger or a hung disk does it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["suspended"]

WAIT_SECONDS = 1.0


@contextlib.contextmanager
def suspended(pid: int, *, database: Path | None = None) -> Iterator[None]:
    """Stop a process for the length of the block; it may be killed meanwhile.

    Args:
        pid: Of the process.
        database: A SQLite file that it is not to hold the write lock of, so that others can go on.

    """
    os.kill(pid, signal.SIGSTOP)
    while database is not None and _is_locked(database):
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _is_locked(database: Path) -> bool:
    with contextlib.closing(sqlite3.connect(database, timeout=WAIT_SECONDS)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.rollback()
        return False
