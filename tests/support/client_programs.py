"""Clients in other languages: installed once, run as programs that print a JSON line a step.

A client is a folder of ``tests/clients`` with its package file and its sources. It is built in
``.venv/clients``, under a name with the folder's hash, so that only the first run pays. Where
its tool is absent or its package index out of reach, its tests are skipped with that reason.

``python -m tests.support.client_programs`` installs all of them and says which are ready.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon

__all__ = [
    "CLIENTS",
    "JAVA",
    "JAVASCRIPT_V2",
    "JAVASCRIPT_V3",
    "Client",
    "ClientUnavailableError",
    "Steps",
    "client_env",
    "install",
    "installed",
    "run_steps",
]

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests" / "clients"
TARGET = ROOT / ".venv" / "clients"
INSTALL_SECONDS = 300.0
TRY_AGAIN_SECONDS = 600.0
"""After an install that failed, how long the others of the same run are spared the wait."""
_LEFT_OUT = frozenset({"node_modules", "target"})


class ClientUnavailableError(Exception):
    """A client cannot be installed here; says why."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client program."""

    name: str
    """Its folder in ``tests/clients``."""
    tools: tuple[str, ...]
    """What must be on PATH."""
    build: tuple[str, ...]
    """Installs it, run in a copy of its folder."""


_NPM = (
    *("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"),
    *("--fetch-retries=1", "--fetch-timeout=30000", "--loglevel=error"),
)
JAVASCRIPT_V3 = Client(name="js-v3", tools=("node", "npm"), build=_NPM)
JAVASCRIPT_V2 = Client(name="js-v2", tools=("node", "npm"), build=_NPM)
JAVA = Client(
    name="java",
    tools=("java", "javac", "mvn"),
    build=(
        *("mvn", "--batch-mode", "--quiet", "--no-transfer-progress"),
        "-Daether.connector.connectTimeout=10000",
        *("compile", "dependency:copy-dependencies"),
    ),
)
CLIENTS = (JAVASCRIPT_V3, JAVASCRIPT_V2, JAVA)


def installed(client: Client) -> Path:
    """Return the folder a client is built in; skips the test where it cannot be had."""
    try:
        return install(client)
    except ClientUnavailableError as error:
        pytest.skip(str(error))


def install(client: Client) -> Path:
    """Build a client unless that is done, and return its folder.

    Raises:
        ClientUnavailableError: If a tool is not on PATH, or the build fails or takes too long.

    """
    for tool in client.tools:
        if shutil.which(tool) is None:
            raise ClientUnavailableError(f"the client {client.name} needs {tool}, not on PATH")
    source = SOURCES / client.name
    TARGET.mkdir(parents=True, exist_ok=True)
    target = TARGET / f"{client.name}-{_fingerprint(source)}"
    if target.is_dir():
        return target
    failure = target.with_suffix(".failed")
    if failure.exists() and time.time() - failure.stat().st_mtime < TRY_AGAIN_SECONDS:
        raise ClientUnavailableError(failure.read_text())
    # Built aside and renamed: whoever finds the folder finds it complete.
    building = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(source, building, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    try:
        _build(client, building)
    except ClientUnavailableError as error:
        shutil.rmtree(building)
        failure.write_text(str(error))
        raise
    _remove_old(client, keep=building)
    building.rename(target)
    return target


def _remove_old(client: Client, *, keep: Path) -> None:
    for path in TARGET.glob(f"{client.name}-*"):
        if path.suffix == ".failed":
            path.unlink(missing_ok=True)
        elif not path.suffix and path != keep:
            shutil.rmtree(path, ignore_errors=True)


def _build(client: Client, folder: Path) -> None:
    log = TARGET / f"{client.name}.log"
    try:
        with log.open("wb") as out:
            done = subprocess.run(
                client.build,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise ClientUnavailableError(
            f"the client {client.name} was not installed within {INSTALL_SECONDS:.0f} s"
        ) from None
    if done.returncode != 0:
        raise ClientUnavailableError(
            f"the client {client.name} cannot be installed here "
            f"({client.build[0]} answered {done.returncode}, see {os.path.relpath(log, ROOT)})"
        )


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not _LEFT_OUT & set(inside.parts):
            digest.update(f"{inside.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def client_env(daemon: Daemon, **more: str) -> dict[str, str]:
    """Return the environment every AWS client reads; only the endpoint is not AWS's."""
    key, secret = daemon.credentials
    nothing = daemon.data_dir.with_name("no-aws-configuration")
    nothing.touch()
    return {
        "AWS_ENDPOINT_URL": daemon.url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_EC2_METADATA_DISABLED": "true",
        # What the developer's own files say is no part of a test.
        "AWS_CONFIG_FILE": str(nothing),
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
        "AWS_PAGER": "",
        **more,
    }


class Steps(dict[str, dict[str, Any]]):
    """What a program printed: the fields of each line by its ``step``."""


def run_steps(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    on_step: Mapping[str, Callable[[], object]] | None = None,
    seconds: float = 90.0,
) -> Steps:
    """Run a program to its end and return its steps.

    Args:
        command: The program.
        env: Its whole environment, except PATH and HOME.
        on_step: Called when the program has printed that step, while it runs on.
        seconds: After that it is killed, which is an error.

    Raises:
        AssertionError: If it fails; with what it wrote to stderr.

    """
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    steps, errors = Steps(), list[str]()
    with subprocess.Popen(
        command,
        env={**inherited, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        killer = threading.Timer(seconds, process.kill)
        reader = threading.Thread(target=errors.extend, args=(process.stderr,))
        killer.start()
        reader.start()
        try:
            for line in process.stdout:
                fields = json.loads(line)
                steps[fields.pop("step")] = fields
                if on_step and (act := on_step.get(list(steps)[-1])):
                    act()
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            killer.cancel()
            reader.join()
    assert process.returncode == 0, (
        f"{command[0]} ended with {process.returncode} after the steps {list(steps)}:\n"
        + _shortened("".join(errors))
    )
    return steps


def _shortened(text: str, limit: int = 6000) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}\n...\n{text[-limit // 2 :]}"


def main() -> None:
    """Install every client and say which are ready."""
    for client in CLIENTS:
        started = time.monotonic()
        try:
            install(client)
        except ClientUnavailableError as error:
            print(f"skipped: {error}")
        else:
            print(f"ready: {client.name} ({time.monotonic() - started:.0f} s)")


if __name__ == "__main__":
    main()
