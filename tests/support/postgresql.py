"""A PostgreSQL server of the tests' own, where the server's programs are installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ServerMissingError", "running_server", "server_programs"]


class ServerMissingError(Exception):
    """PostgreSQL cannot be started here; the message says why."""


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Run a throw-away server on a Unix socket; gives the URL of its empty database."""
    programs = server_programs()
    directory = Path(tempfile.mkdtemp(prefix="streamd-pg-"))  # tmp_path is closed to others
    try:
        user = _unprivileged(directory)
        data = directory / "data"
        options = f"-F -c listen_addresses= -k {directory}"
        _run(user, programs / "initdb", "-D", data, "-A", "trust", "-U", "streamd", "--no-sync",
             "-E", "UTF8", "--locale", "C.UTF-8")  # fmt: skip
        _run(user, programs / "pg_ctl", "-D", data, "-o", options, "-l", directory / "log", "-w",
             "start")  # fmt: skip
        try:
            yield f"postgresql://streamd@/postgres?host={directory}"
        finally:
            _run(user, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def server_programs() -> Path:
    """Return the folder of the server's programs.

    Raises:
        ServerMissingError: If there is none.

    """
    for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True):
        return path.parent
    found = shutil.which("initdb")
    if found is None:
        raise ServerMissingError("no PostgreSQL server programs (initdb) on this machine")
    return Path(found).parent


def _unprivileged(directory: Path) -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise ServerMissingError("PostgreSQL refuses root, and there is no user postgres") from None
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    return "postgres"


def _run(user: str | None, *command: str | Path) -> None:
    prefix = (
        [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    )
    # Output to nowhere: the server keeps the descriptors it is given.
    result = subprocess.run(
        [*prefix, *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if "initdb" in str(command[0]) else subprocess.DEVNULL,
        cwd="/",
        timeout=60,
        check=False,
    )
    if result.returncode:
        raise ServerMissingError(f"{command[0]} failed: {(result.stderr or b'').decode()[-500:]}")
