"""What strangers may do to the port of a running daemon, and its certificate's renewal."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.support.certificates import self_signed
from tests.support.daemon import Daemon, wait_until

KEY, SECRET = "AKIDEXAMPLE", "a-secret-of-this-test"
MAX_CONNECTIONS = 12
TIMEOUT_SECONDS = 1.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The certificate and key the daemon of this module serves with."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[Daemon]:
    """A daemon with TLS, few connections and little patience."""
    env = {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": json.dumps(
            [{"access_key_id": KEY, "secret_access_key": SECRET}]
        ),
        "STREAMD_SERVER__TLS_CERT": str(certificate[0]),
        "STREAMD_SERVER__TLS_KEY": str(certificate[1]),
        "STREAMD_SERVER__MAX_CONNECTIONS": str(MAX_CONNECTIONS),
        "STREAMD_SERVER__REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    }
    daemon = Daemon(tmp_path_factory.mktemp("limits") / "data", env)
    daemon.credentials = (KEY, SECRET)
    daemon.url = f"https://127.0.0.1:{daemon.port}"
    daemon.verify = str(certificate[0])
    try:
        daemon.start(ready=False)
        wait_until(lambda: "serves on" in daemon.log(), what="the port")
        yield daemon
    finally:
        daemon.stop()


@contextlib.contextmanager
def _connected(daemon: Daemon) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as plain,
        context.wrap_socket(plain) as connection,
    ):
        yield connection


def _rest(connection: ssl.SSLSocket) -> bytes:
    """Return what comes until the daemon closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while data := connection.recv(65536):
            found += data
    return found


def _serves(daemon: Daemon) -> bool:
    return "CollectionIds" in daemon.client("rekognition").list_collections()


def test_a_head_that_trickles_in_is_not_waited_for(daemon: Daemon) -> None:
    """The connection ends when the head is not whole in time, however much still comes."""
    with _connected(daemon) as connection:
        started = time.monotonic()
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")
        connection.settimeout(0.2)
        answer: bytes | None = None
        while answer is None:
            with contextlib.suppress(OSError):
                connection.sendall(b"X-A: b\r\n")
            try:
                answer = connection.recv(100)
            except TimeoutError:
                assert time.monotonic() < started + 10
            except OSError:
                answer = b""
        assert answer == b""
        assert TIMEOUT_SECONDS - 0.1 < time.monotonic() - started < 5
    assert _serves(daemon)


def test_a_connection_that_says_nothing_is_closed(daemon: Daemon) -> None:
    """Opening connections and waiting costs the daemon nothing for long."""
    with _connected(daemon) as connection:
        assert _rest(connection) == b""


def test_a_body_that_does_not_come_is_not_waited_for(daemon: Daemon) -> None:
    """The answer is 408, as long as the signature's own rules were kept so far."""
    request = AWSRequest(
        method="POST",
        url=f"{daemon.url}/",
        data=b"{}",
        headers={
            "X-Amz-Target": "RekognitionService.ListCollections",
            "Content-Type": "application/x-amz-json-1.1",
            "Host": f"127.0.0.1:{daemon.port}",
        },
    )
    SigV4Auth(Credentials(KEY, SECRET), "rekognition", "us-east-1").add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join(["POST / HTTP/1.1", *lines, "Content-Length: 2", "", ""])
    with _connected(daemon) as connection:
        connection.sendall(head.encode() + b"{")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"RequestTimeoutException" in answer


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nAuthorization: " + b"stranger-data" * 2000 + b"\r\n\r\n",
        b"POST /" + b"stranger-data" * 2000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"X-A: stranger-data\r\n" * 200 + b"\r\n",
    ],
    ids=["long header", "long target", "many headers"],
)
def test_oversize_heads_are_refused(daemon: Daemon, head: bytes) -> None:
    """Neither the answer nor the log repeat what was sent."""
    with _connected(daemon) as connection:
        connection.sendall(head)
        answer = _rest(connection)
    assert answer[:13] in {b"HTTP/1.0 431 ", b"HTTP/1.0 400 "}
    assert b"stranger-data" not in answer
    assert "stranger-data" not in daemon.log()
    assert "Traceback" not in daemon.log()


def test_no_http_is_refused(daemon: Daemon) -> None:
    """Whatever speaks another protocol gets one short answer."""
    with _connected(daemon) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03stranger-data\r\n\r\n")
        answer = _rest(connection)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"stranger-data" not in answer
    assert "stranger-data" not in daemon.log()


def test_too_many_connections_are_told_so(daemon: Daemon) -> None:
    """The next one gets 503 in the service's form; when the others are gone it is served."""
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 3):
            stack.enter_context(_connected(daemon))
        with _connected(daemon) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = _rest(connection)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"x-amzn-ErrorType: ServiceUnavailable" in answer
    wait_until(lambda: "connections refused" in daemon.log(), what="the line in the log")
    wait_until(lambda: _tries(daemon), what="the daemon to serve again")


def _tries(daemon: Daemon) -> bool:
    try:
        return _serves(daemon)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ServiceUnavailable":
            raise
        return False


def _shown_certificate(daemon: Daemon) -> str:
    return ssl.get_server_certificate(("127.0.0.1", daemon.port), timeout=10)


def test_a_new_certificate_is_served_without_a_restart(
    daemon: Daemon, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """A half that does not fit changes nothing; open connections go on."""
    before = _shown_certificate(daemon)
    assert before == certificate[0].read_text()
    new_certificate, new_key = self_signed(tmp_path)

    certificate[0].write_bytes(new_certificate.read_bytes())
    wait_until(lambda: "certificate not changed" in daemon.log(), what="the half to be refused")
    assert _shown_certificate(daemon) == before

    certificate[1].write_bytes(new_key.read_bytes())
    wait_until(lambda: _shown_certificate(daemon) != before, what="the new certificate")
    assert _shown_certificate(daemon) == new_certificate.read_text()
    assert _serves(daemon)


def test_an_open_door_is_warned_of(tmp_path: Path) -> None:
    """Serving others without signatures takes the flag, and says what that means."""
    command = [
        *(sys.executable, "-m", "streamd", "serve", "--data-dir", str(tmp_path / "data")),
        *("--listen", "0.0.0.0:0"),
    ]
    env = {k: v for k, v in os.environ.items() if not k.startswith("STREAMD_")}
    refused = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=30
    )
    assert refused.returncode != 0
    assert "--insecure" in refused.stderr
    with subprocess.Popen([*command, "--insecure"], env=env, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = ""
        while "serves on" not in said:
            line = process.stderr.readline().decode()
            assert line, said
            said += line
        process.terminate()
        process.stderr.read()
    assert "WARNING streamd.daemon: anyone who reaches 0.0.0.0:0 may do anything" in said
