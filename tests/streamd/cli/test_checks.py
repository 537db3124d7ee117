"""What doctor finds, check by check."""

from __future__ import annotations

import contextlib
import http.server
import importlib.metadata
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamd.cli import app, checks
from streamd.cli.findings import Verdict, run_check
from streamd.config import load_settings
from streamd.store import Store
from tests.support.certificates import self_signed
from tests.support.checks import only, settings
from tests.support.clock import ManualClock


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@contextlib.contextmanager
def http_server(
    *, status: int = 200, date: str | None = None, pair: tuple[Path, Path] | None = None
) -> Iterator[str]:
    """Serve one answer to everything, with TLS where there are a certificate and its key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", date or formatdate(usegmt=True))
            self.send_header("Content-Length", "6")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"ready\n")

        do_HEAD = do_GET  # noqa: N815 - the library's way

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_replicas_of_a_shared_store(tmp_path: Path) -> None:
    """Each is seen or not; one that is missed is the home of streams."""
    assert run_check(checks.check_replicas, settings(tmp_path)) == []
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    shared = settings(tmp_path, store={"url": url})
    assert only(checks.check_replicas, shared).verdict is Verdict.NOTABLE
    clock = ManualClock()
    with contextlib.closing(Store(url, clock=clock, lease_clock=clock)) as store:
        store.migrate()
        clock.advance(time.time() - clock.epoch() - 3600)
        for name in ("gone", "left", "here"):
            if name == "here":
                clock.advance(3600)
            store.beat(name, url=f"http://{name}", access_key_id="KEY", secret="hush")
        store.create_video_stream(
            account_id="0" * 12, name="door", arn="arn:door", tags={}, limit=9, home="gone"
        )
    gone, here, left = run_check(checks.check_replicas, shared)
    assert (gone.verdict, here.verdict, left.verdict) == (
        Verdict.NOTABLE,
        Verdict.GOOD,
        Verdict.GOOD,
    )
    assert "home of 1 video streams, not seen for 1:00:0" in gone.detail
    assert "http://here (here), home of 0 video streams, seen 0 s ago" in here.detail
    assert "hush" not in str([gone, here, left])


def test_data_dir(tmp_path: Path) -> None:
    """A writable directory with little room is notable; a file in its place is broken."""
    small = settings(tmp_path, kinesis_video={"max_archive_bytes": 1})
    assert only(checks.check_data_dir, small).verdict is Verdict.GOOD
    huge = settings(tmp_path, kinesis_video={"max_archive_bytes": 10**18})
    finding = only(checks.check_data_dir, huge)
    assert finding.verdict is Verdict.NOTABLE
    assert "max_archive_bytes" in (finding.next_step or "")


def test_models_that_are_missing(tmp_path: Path) -> None:
    """A pack that is not there is broken, with the command that fetches it."""
    finding = run_check(
        checks.check_models, settings(tmp_path, models={"faces": "yunet-retail0095"})
    )[0]
    assert finding.verdict is Verdict.BROKEN
    assert finding.next_step == "streamd models pull yunet-retail0095"


def test_providers(tmp_path: Path) -> None:
    """The CPU is always there; a provider of no build is broken."""
    assert only(checks.check_onnx_runtime, settings(tmp_path)).verdict is Verdict.GOOD
    finding = only(checks.check_onnx_runtime, settings(tmp_path, models={"providers": ["npu"]}))
    assert finding.verdict is Verdict.BROKEN


def test_store(tmp_path: Path, unused_tcp_port: int) -> None:
    """No database yet is fine; one that does not answer is broken, in one line."""
    assert only(checks.check_store, settings(tmp_path)).verdict is Verdict.GOOD
    url = f"postgresql://streamd:hush@127.0.0.1:{unused_tcp_port}/streamd"
    finding = only(checks.check_store, settings(tmp_path, store={"url": url}))
    assert finding.verdict is Verdict.BROKEN
    assert "\n" not in finding.detail
    assert "hush" not in finding.detail


def test_daemon_that_serves() -> None:
    """A daemon that answers /readyz is good."""
    with http_server() as url:
        found = load_settings(overrides={"server": {"listen": url.removeprefix("http://")}})
        assert only(checks.check_daemon, found).verdict is Verdict.GOOD


def test_daemon_that_serves_with_tls(tmp_path: Path) -> None:
    """Its certificate is for another name than the loopback address, and nobody here trusts it."""
    certificate, key = self_signed(tmp_path)
    with http_server(pair=(certificate, key)) as url:
        server = {"listen": url.removeprefix("http://"), "tls_cert": certificate, "tls_key": key}
        finding = only(checks.check_daemon, load_settings(overrides={"server": server}))
    assert finding.verdict is Verdict.GOOD
    assert "https://" in finding.detail


def test_daemon_that_starts() -> None:
    """503 means wait."""
    with http_server(status=503) as url:
        found = load_settings(overrides={"server": {"listen": url.removeprefix("http://")}})
        assert only(checks.check_daemon, found).verdict is Verdict.NOTABLE


def test_daemon_that_is_something_else() -> None:
    """Another server on our port is broken."""
    with http_server(status=404) as url:
        found = load_settings(overrides={"server": {"listen": url.removeprefix("http://")}})
        finding = only(checks.check_daemon, found)
    assert finding.verdict is Verdict.BROKEN
    assert "something else" in finding.detail


def test_a_free_port_says_how_to_start(unused_tcp_port: int) -> None:
    """A daemon that does not run is no fault."""
    found = load_settings(overrides={"server": {"listen": f"127.0.0.1:{unused_tcp_port}"}})
    finding = only(checks.check_daemon, found)
    assert (finding.verdict, finding.next_step) == (Verdict.NOTABLE, "streamd serve")


@pytest.mark.parametrize(
    ("date", "verdict"),
    [
        (None, Verdict.GOOD),
        ("Tue, 14 Nov 2023 22:13:20 GMT", Verdict.BROKEN),
        ("no date", Verdict.NOTABLE),
    ],
    ids=["now", "years off", "not a date"],
)
def test_clock(tmp_path: Path, date: str | None, verdict: Verdict) -> None:
    """The Date header of endpoints that check signatures is compared with our clock."""
    with http_server(date=date) as url:
        found = settings(tmp_path, outputs={"s3": "s3"}, s3={"endpoint_url": url})
        assert only(checks.check_clock, found).verdict is verdict


def test_doctor_exits_1_when_something_is_broken(tmp_path: Path) -> None:
    """The report has a line per finding and the exit code tells."""
    config = tmp_path / "streamd.toml"
    config.write_text("[models]\nfaces = 'yunet-retail0095'\n[server]\nlisten = '127.0.0.1:0'\n")
    command = ["doctor", "--config", str(config), "--data-dir", str(tmp_path / "data")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "✗ face pack" in result.output
    assert "next: streamd models pull yunet-retail0095" in result.output
    assert "1 broken" in result.output


def test_doctor_reports_wrong_settings(tmp_path: Path) -> None:
    """Settings that cannot be read are the first finding."""
    config = tmp_path / "streamd.toml"
    config.write_text("[server]\nlisten = 'x'\n")
    result = CliRunner().invoke(app, ["doctor", "--config", str(config)])
    assert result.exit_code == 1
    assert "✗ settings" in result.output


def test_the_build_for_the_cpu_stands_in_for_the_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime may be installed in either build; without both its absence is told."""
    installed = {"onnxruntime": "1.27.0"}

    def version(name: str) -> str:
        try:
            return installed[name]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["onnxruntime-gpu<2,>=1.27"])
    of = settings(tmp_path)
    assert only(checks.check_python, of).verdict is Verdict.GOOD
    installed["onnxruntime"] = "1.20.0"
    assert only(checks.check_python, of).verdict is Verdict.BROKEN
    installed.clear()
    assert "onnxruntime-gpu is not installed" in only(checks.check_python, of).detail
