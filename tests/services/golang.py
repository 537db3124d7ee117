"""Go's own tool, for programs that are built of published modules."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.services.fetched import ServiceUnavailableError

__all__ = ["go"]


def go(
    *arguments: str,
    what: str,
    folder: Path,
    seconds: float,
    patience: str = "",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run ``go`` without C and without another Go than the one here; returns what it prints.

    Args:
        arguments: Of ``go``.
        what: The program that comes of it, for messages.
        folder: Where to run; a ``go.mod`` there counts.
        seconds: After which it is given up.
        patience: What to do where that was too short.
        environment: More variables.

    Raises:
        ServiceUnavailableError: If it fails, or takes too long.

    """
    process = subprocess.Popen(
        ["go", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", **(environment or {})},
    )
    try:
        out, err = process.communicate(timeout=max(0.1, seconds))
    except subprocess.TimeoutExpired:
        # With the compilers it started.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise ServiceUnavailableError(f"{what} was not built in time{patience}") from None
    if process.returncode != 0:
        said = " ".join((err or out).split())[-300:]
        raise ServiceUnavailableError(f"{what} cannot be built here: go {arguments[0]}: {said}")
    return out
