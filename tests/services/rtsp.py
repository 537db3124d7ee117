"""A real media server, mediamtx: RTSP over TCP and UDP with digest, RTMP, HLS; one process.

It is built once from the Go module proxy into ``.venv/services``: ``make rtsp-server``, or the
first test that needs it if that takes less than two minutes. Where Go is absent, or the proxy
out of reach, the tests are skipped with that reason.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.services.fetched import ServiceUnavailableError, fetched, tell
from tests.services.golang import go

__all__ = [
    "PASSWORD",
    "USER",
    "RtspServer",
    "rtsp_server",
    "server_program",
]

USER, PASSWORD = "viewer", "swordfish"
MODULE, VERSION = "github.com/bluenviron/mediamtx", "v1.12.3"
SUM = "h1:NfHiMm6UQKQZEVhJhypl8Ccp+i8ZGt/IASqB2bSA7Gw="
"""What Go's checksum database says of this version."""
TARGET = Path(__file__).parents[2] / ".venv" / "services"
BUILD_SECONDS = 120.0
PATIENT_SECONDS = 900.0
START_SECONDS = 30.0


def server_program(*, seconds: float = BUILD_SECONDS, insists: bool = False) -> Path:
    """Return the server's program, built if missing.

    Raises:
        ServiceUnavailableError: If it cannot be built, or not in time.

    """

    def make(program: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="mediamtx-") as folder:
            shutil.move(_build(Path(folder), time.monotonic() + seconds), program)

    return fetched(TARGET / f"mediamtx-{VERSION}", make, tools=("go",), insists=insists)


def _build(folder: Path, deadline: float) -> Path:
    told = json.loads(
        _go("mod", "download", "-json", f"{MODULE}@{VERSION}", folder=folder, until=deadline)
    )
    if told["Sum"] != SUM:
        raise ServiceUnavailableError(f"{MODULE} {VERSION} is not the one these tests know")
    source = folder / "source"
    # The module's own files are read-only, and its generators fetch from elsewhere.
    shutil.copytree(told["Dir"], source, copy_function=shutil.copyfile)
    for path in (source, *source.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    (source / "internal" / "core" / "VERSION").write_text(VERSION)
    # The player of its web page, which nobody opens here.
    (source / "internal" / "servers" / "hls" / "hls.min.js").write_text("")
    _go("build", "-o", str(folder / "mediamtx"), ".", folder=source, until=deadline)
    return folder / "mediamtx"


def _go(*arguments: str, folder: Path, until: float) -> str:
    return go(
        *arguments,
        what="mediamtx",
        folder=folder,
        seconds=until - time.monotonic(),
        patience="; build it once: make rtsp-server",
    )


class RtspServer:
    """A server that can be stopped, killed, frozen and started again on the same ports.

    Who publishes needs no password, who reads does: digest in RTSP.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._rtsp, self._rtmp, self._hls = (_free_port() for _ in range(3))
        self._process: subprocess.Popen[bytes] | None = None
        rtp = _free_pair()
        (folder / "mediamtx.yml").write_text(
            "logLevel: info\n"
            f"rtspAddress: 127.0.0.1:{self._rtsp}\n"
            f"rtpAddress: 127.0.0.1:{rtp}\n"
            f"rtcpAddress: 127.0.0.1:{rtp + 1}\n"
            "rtspTransports: [tcp, udp]\n"
            "rtspAuthMethods: [digest]\n"
            f"rtmpAddress: 127.0.0.1:{self._rtmp}\n"
            f"hlsAddress: 127.0.0.1:{self._hls}\n"
            "hlsVariant: mpegts\n"
            "webrtc: no\n"
            "srt: no\n"
            "authInternalUsers:\n"
            "- {user: any, permissions: [{action: publish}]}\n"
            f"- {{user: {USER}, pass: {PASSWORD}, permissions: [{{action: read}}]}}\n"
            "paths:\n"
            "  all_others:\n"
        )

    def publish_url(self, path: str) -> str:
        """Where an encoder sends to."""
        return f"rtsp://127.0.0.1:{self._rtsp}/{path}"

    def rtsp_url(self, path: str, password: str = PASSWORD) -> str:
        """Where a camera of RTSP is read, with credentials."""
        return f"rtsp://{USER}:{password}@127.0.0.1:{self._rtsp}/{path}"

    def rtmp_url(self, path: str) -> str:
        """Where the same is read by RTMP, with credentials."""
        return f"rtmp://127.0.0.1:{self._rtmp}/{path}?user={USER}&pass={PASSWORD}"

    def hls_url(self, path: str) -> str:
        """Where the same is read by HLS, with credentials."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self._hls}/{path}/index.m3u8"

    def start(self) -> None:
        """Start, and return when it listens."""
        with (self._folder / "mediamtx.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), str(self._folder / "mediamtx.yml")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        for port in (self._rtsp, self._rtmp, self._hls):
            while not _listens(port):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceUnavailableError(f"the server does not start:\n{self.log()}")
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop in order, as for an upgrade."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End at once, as in a crash."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Answer nothing any more, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of what the server has said."""
        return (self._folder / "mediamtx.log").read_text(errors="replace")[-8000:]

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            # A frozen one hears nothing but this.
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def rtsp_server(folder: Path) -> Iterator[RtspServer]:
    """Run a server.

    Raises:
        ServiceUnavailableError: If none can be had here.

    """
    server = RtspServer(server_program(), folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _free_pair() -> int:
    """Return an even UDP port whose successor is free, too: RTP and RTCP (RFC 3550, 11)."""
    while True:
        with contextlib.ExitStack() as stack:
            first, second = (
                stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)
            )
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            if port % 2:
                continue
            with contextlib.suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return port


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


if __name__ == "__main__":
    # Who asks for it by name does not want to hear of an earlier, shorter try.
    sys.exit(tell(lambda: server_program(seconds=PATIENT_SECONDS, insists=True)))
