"""A real S3 server: versitygw on a folder, built by the Go toolchain from the module proxy.

It checks signatures, knows multipart uploads and accounts, and keeps objects as files. It is
built once per machine into the user's cache folder (a minute or two the first time);
``python -m tests.services.s3`` does it with more patience than a test has. Where Go is absent
or the proxy out of reach, the tests are skipped with that reason.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.services.fetched import ServiceUnavailableError, fetched, tell
from tests.support.daemon import free_port

__all__ = ["ACCESS_KEY", "REGION", "SECRET_KEY", "S3Server", "s3_server"]

MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
ACCESS_KEY, SECRET_KEY, REGION = "AKIDTEST", "right-secret", "us-east-1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamd" / "services"
BUILD_SECONDS = 200.0
PATIENT_BUILD_SECONDS = 900.0
START_SECONDS = 30.0


def server_program(*, seconds: float = BUILD_SECONDS) -> Path:
    """Return the server's executable, built if missing.

    Raises:
        ServiceUnavailableError: If it cannot be had.

    """

    def make(program: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="versitygw-") as folder:
            _build(Path(folder), seconds)
            shutil.move(Path(folder) / "versitygw", program)

    insists = seconds > BUILD_SECONDS
    return fetched(CACHE / f"versitygw-{VERSION}", make, tools=("go",), insists=insists)


def _build(folder: Path, seconds: float) -> None:
    # A version alone, checked against Go's own checksum database.
    command = ["go", "install", "-trimpath", "-ldflags=-s -w", f"{MODULE}@{VERSION}"]
    log = CACHE / "versitygw.log"
    try:
        with log.open("wb") as out:
            done = subprocess.run(
                command,
                env={**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailableError(
            f"an S3 server was not built within {seconds:.0f} s; "
            "`python -m tests.services.s3` has more patience"
        ) from None
    if done.returncode != 0:
        raise ServiceUnavailableError(
            f"an S3 server cannot be built here (go answered {done.returncode}, see {log})"
        )


class S3Server:
    """A server that can be stopped, frozen and started again; its objects stay."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.objects = folder / "buckets"
        """Buckets as folders, objects as files: for tests that meddle with them."""
        self._sidecar, self._accounts = folder / "meta", folder / "accounts"
        for path in (self.objects, self._sidecar, self._accounts):
            path.mkdir(parents=True)
        self.port = free_port()
        self.endpoint_url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when it answers."""
        command: list[str | Path] = [
            *(self._program, "--port", f"127.0.0.1:{self.port}", "--region", REGION, "--quiet"),
            *("--access", ACCESS_KEY, "--secret", SECRET_KEY, "--iam-dir", self._accounts),
            # Not every file system has the extended attributes it would use else.
            *("posix", "--sidecar", self._sidecar, self.objects),
        ]
        with (self._folder / "versitygw.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client().list_buckets()
            except (BotoCoreError, ClientError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceUnavailableError(
                        f"the S3 server does not start:\n{self.log()}"
                    ) from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End, with every connection."""
        if self._process is not None:
            # A frozen one hears nothing but this.
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Answer nothing any more, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self, *, key: str = ACCESS_KEY, secret: str = SECRET_KEY) -> Any:
        """Return a boto3 client of the server."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                retries={"max_attempts": 0}, connect_timeout=2, s3={"addressing_style": "path"}
            ),
        )

    def create_user(self, key: str, secret: str) -> None:
        """Create an account that owns nothing and may do what a bucket's policy allows it."""
        done = subprocess.run(
            [
                *(self._program, "admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY),
                *("--endpoint-url", self.endpoint_url, "create-user"),
                *("--access", key, "--secret", secret, "--role", "user"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def log(self) -> str:
        """The end of what the server has said."""
        return (self._folder / "versitygw.log").read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server.

    Raises:
        ServiceUnavailableError: If none can be had here.

    """
    server = S3Server(server_program(), folder / "s3")
    try:
        server.start()
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(tell(lambda: server_program(seconds=PATIENT_BUILD_SECONDS)))
