"""BuildKit's own linter and Docker Compose's own loader, in one program of Go.

It is built once per machine into the user's cache folder, by ``python -m tests.deploy.checker``
(``make deploy-checker``, minutes). Where it is not there, its tests are skipped.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["CheckerUnavailableError", "checker_program", "run_checker"]

SOURCE = Path(__file__).with_name("linters")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamd" / "services"


class CheckerUnavailableError(Exception):
    """The program is not there; says why."""


def checker_program() -> Path:
    """Return the program that was built of the sources as they are.

    Raises:
        CheckerUnavailableError: If it was not built.

    """
    program = _place()
    if not program.is_file():
        raise CheckerUnavailableError("BuildKit's linter is not built: make deploy-checker")
    return program


def run_checker(kind: str, file: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Check a file; returns the exit code and what was said.

    Raises:
        CheckerUnavailableError: If the program was not built.

    """
    done = subprocess.run(
        [checker_program(), kind, file],
        env={"PATH": os.environ["PATH"], "HOME": str(Path.home()), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _place() -> Path:
    text = b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    return CACHE / f"deploy-checker-{hashlib.sha256(text).hexdigest()[:12]}"


def _build() -> None:
    program = _place()
    if program.is_file():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed: whoever finds the program finds it complete.
    building = program.with_name(f"{program.name}.{os.getpid()}")
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(building), "."]
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    subprocess.run(command, cwd=SOURCE, env=env, check=True)
    building.rename(program)


if __name__ == "__main__":
    try:
        _build()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"BuildKit's linter cannot be built here: {error}")
