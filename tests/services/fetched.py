"""Programs of third parties, made once and found by everyone after that."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["ServiceUnavailableError", "fetched", "tell"]

TRY_AGAIN_SECONDS = 600.0
"""After a try that failed, how long other processes are spared the wait."""


class ServiceUnavailableError(Exception):
    """A server cannot be had here; says why."""


def fetched(
    target: Path, make: Callable[[Path], None], *, tools: tuple[str, ...], insists: bool = False
) -> Path:
    """Return a file or folder, made if it is missing.

    Args:
        target: Where it is, once it was made.
        make: Makes it at the path given, beside the target: whoever finds the target finds it
            whole.
        tools: What must be on PATH for that.
        insists: Try again, however short ago a try has failed.

    Raises:
        ServiceUnavailableError: If it cannot be had.

    """
    if target.exists():
        return target
    for tool in tools:
        if shutil.which(tool) is None:
            raise ServiceUnavailableError(f"{target.name} needs {tool}, not on PATH")
    target.parent.mkdir(parents=True, exist_ok=True)
    failure = target.with_name(f"{target.name}.failed")
    recently = failure.exists() and time.time() - failure.stat().st_mtime < TRY_AGAIN_SECONDS
    if recently and not insists:
        raise ServiceUnavailableError(failure.read_text())
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        make(beside)
        with contextlib.suppress(OSError):
            # Another process may have been first.
            beside.rename(target)
    except ServiceUnavailableError as error:
        failure.write_text(str(error))
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return target


def tell(make: Callable[[], Path]) -> int:
    """Make a program and say how it went, for ``python -m``: the tests skip with the same words."""
    try:
        program = make()
    except ServiceUnavailableError as error:
        sys.stdout.write(f"{error}\n")
    else:
        sys.stdout.write(f"{program.name} is ready\n")
    return 0
