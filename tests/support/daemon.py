"""A real daemon process on a free loopback port, for tests that drive it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

__all__ = ["Daemon", "free_port", "running_daemon", "wait_until"]

READY_SECONDS = 30.0


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(condition: Callable[[], Any], *, seconds: float = 30.0, what: str = "") -> Any:
    """Poll until the condition is true and return its value; fail loudly after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what or condition}")
        time.sleep(0.05)


class Daemon:
    """One ``streamd serve`` process."""

    def __init__(self, data_dir: Path, env: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.credentials = ("test", "test")
        self.verify: str | bool = True
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        self._env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("STREAMD_", "AWS_"))},
            # Tests count frames, on machines that are busy with other tests.
            "STREAMD_ANALYSIS__OVERLOAD": "latency",
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The control process's id."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the control process ended, ``None`` while it has not."""
        assert self._process is not None
        return self._process.poll()

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers (Linux)."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def start(self, *, ready: bool = True) -> Daemon:
        """Start the process and wait until /readyz answers 200."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "streamd",
                    "serve",
                    "--data-dir",
                    str(self.data_dir),
                    "--listen",
                    f"127.0.0.1:{self.port}",
                ],
                env=self._env,
                stdout=log,
                stderr=log,
            )
        if ready:
            wait_until(self._is_ready, seconds=READY_SECONDS, what="/readyz")
        return self

    def terminate(self, *, seconds: float = 40.0) -> int:
        """Send SIGTERM and return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Kill the control process as ``kill -9`` does; its workers see their pipe end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def lose_power(self) -> None:
        """Kill all of its processes, so that none frees or hands over anything."""
        workers = self.worker_pids()
        os.kill(self.pid, signal.SIGSTOP)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        self.kill()

    def get(self, path: str) -> tuple[int, str]:
        """GET a path; returns status and text."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def client(self, service: str, **kwargs: Any) -> Any:
        """Return a boto3 client of the service with only endpoint_url changed."""
        return boto3.client(
            service,  # type: ignore[call-overload]  # the stubs want a literal
            endpoint_url=self.url,
            region_name="us-east-1",
            verify=self.verify,
            aws_access_key_id=kwargs.pop("key", self.credentials[0]),
            aws_secret_access_key=kwargs.pop("secret", self.credentials[1]),
            config=Config(retries={"max_attempts": 0}, **kwargs),
        )

    def records(self, stream: str) -> list[dict[str, Any]]:
        """Return what the local output of a Kinesis data stream holds."""
        return _read_lines(self.data_dir / "outputs" / "kinesis" / f"{stream}.jsonl")

    def notifications(self, topic: str) -> list[dict[str, Any]]:
        """Return the messages of the local output of an SNS topic, parsed."""
        lines = _read_lines(self.data_dir / "outputs" / "sns" / f"{topic}.jsonl")
        return [json.loads(line["Message"]) for line in lines]

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples over all labels and processes."""
        _, text = self.get("/metrics")
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((name + " ", name + "{"))
        ]
        return sum(values)

    def log(self) -> str:
        """Return what the daemon has logged so far."""
        return self.log_path.read_text(errors="replace")

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the daemon ended at once:\n{self.log()}")
        with contextlib.suppress(OSError):
            return self.get("/readyz")[0] == 200
        return False

    def stop(self) -> None:
        """End the process whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)


@contextlib.contextmanager
def running_daemon(data_dir: Path, env: dict[str, str] | None = None) -> Iterator[Daemon]:
    """Run a daemon for the length of a ``with`` block."""
    daemon = Daemon(data_dir, env)
    try:
        yield daemon.start()
    finally:
        daemon.stop()


def _read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
