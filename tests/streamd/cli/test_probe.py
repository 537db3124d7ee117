"""One question to the daemon of this machine."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.cli.probe import ask
from streamd.config import ServerSettings
from tests.support.certificates import self_signed
from tests.support.daemon import free_port


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = {"/healthz": b"ok\n", "/readyz": b"starting or draining\n"}[self.path]
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        del arguments


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerSettings]:
    """Somebody who is alive and not ready, and the settings that lead there."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    listen = f"0.0.0.0:{web.server_port}"
    settings = ServerSettings(listen=listen)
    if request.param == "https":
        certificate, key = self_signed(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        web.socket = context.wrap_socket(web.socket, server_side=True)
        settings = ServerSettings(listen=listen, tls_cert=certificate, tls_key=key)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield settings
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


def test_alive_and_not_ready_are_told_apart(
    server: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without TLS, whatever its name; a proxy of the environment is not asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert ask(server, "/healthz", timeout_seconds=20) == (True, "ok")
    assert ask(server, "/readyz", timeout_seconds=20) == (False, "starting or draining")


def test_nobody_there_is_not_well() -> None:
    """The answer says where nobody answered."""
    server = ServerSettings(listen=f"127.0.0.1:{free_port()}")
    is_well, answer = ask(server, "/healthz", timeout_seconds=20)
    assert not is_well
    assert answer.startswith(f"no answer from {server.listen}: ")
