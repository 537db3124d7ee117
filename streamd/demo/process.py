"""The daemon of the demo: ``streamd serve`` as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from streamd.config import ENV_PREFIX
from streamd.demo.errors import DemoError

__all__ = ["DaemonProcess"]

READY_SECONDS = 60.0
POLL_SECONDS = 0.1
STOP_SECONDS = 30.0
LOG_LINES = 12
"""How much of the log an error shows."""


class DaemonProcess:
    """Starts the daemon on a free port, waits until it is ready, stops it."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        """Start it.

        Args:
            data_dir: Where it keeps everything.
            settings: Environment variables, ``STREAMD_…``.

        """
        self.data_dir = data_dir
        self.log_path = data_dir / "streamd.log"
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "streamd", "serve"]
        command += ["--data-dir", str(data_dir), "--listen", f"127.0.0.1:{port}"]
        # The user's own settings and accounts have no place in a demonstration.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith((ENV_PREFIX, "AWS_", "PROMETHEUS_"))
        }
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env={**inherited, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the demo, which then stops the daemon in order.
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when /readyz answers 200.

        Raises:
            DemoError: If the daemon ends before, or takes too long.

        """
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise self.failure(f"the daemon ended with code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self.failure(f"the daemon was not ready after {READY_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def failure(self, message: str) -> DemoError:
        """Return an error with the end of the daemon's log."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_LINES:]
        log = "\n".join(f"  {line}" for line in lines) or "  (it logged nothing)"
        return DemoError(f"{message}; its log ends with\n{log}")

    def stop(self) -> int:
        """Send SIGTERM and wait; returns the exit code."""
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:  # noqa: S310 - our own http URL
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
