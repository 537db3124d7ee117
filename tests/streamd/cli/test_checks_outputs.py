"""What doctor finds of brokers and services."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamd.cli.checks_outputs import check_archive, check_outputs
from streamd.cli.findings import Verdict, run_check
from tests.support.checks import only, settings
from tests.support.moto import moto_server


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_local_outputs_are_good(tmp_path: Path) -> None:
    """Files need nobody."""
    finding = only(check_outputs, settings(tmp_path))
    assert finding.verdict is Verdict.GOOD
    assert "kinesis, s3, sns" in finding.detail


@pytest.mark.parametrize("kind", ["kinesis", "s3", "sns"])
def test_services_that_are_away(tmp_path: Path, kind: str, unused_tcp_port: int) -> None:
    """A service that does not answer is broken and names its section."""
    section = {
        "endpoint_url": f"http://127.0.0.1:{unused_tcp_port}",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "hush",
    }
    found = settings(tmp_path, outputs={kind: kind}, **{kind: section})
    finding = run_check(check_outputs, found)[-1]
    assert finding.verdict is Verdict.BROKEN
    assert f"[{kind}]" in (finding.next_step or "")


def test_kafka_that_is_away(tmp_path: Path, unused_tcp_port: int) -> None:
    """A broker that does not answer is broken."""
    found = settings(
        tmp_path,
        outputs={"kinesis": "kafka"},
        kafka={"bootstrap_servers": f"127.0.0.1:{unused_tcp_port}"},
    )
    finding = run_check(check_outputs, found)[-1]
    assert (finding.verdict, finding.title) == (Verdict.BROKEN, "kafka")


def test_webhook(tmp_path: Path) -> None:
    """A receiver whose port answers is good; the token in its URL stays unsaid."""
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        port = receiver.getsockname()[1]
        found = settings(
            tmp_path,
            outputs={"sns": "webhook"},
            webhook={
                "url": f"http://127.0.0.1:{port}/hush",
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            },
        )
        finding = run_check(check_outputs, found)[-1]
    assert (finding.verdict, finding.title) == (Verdict.GOOD, "webhook")
    finding = run_check(check_outputs, found)[-1]
    assert finding.verdict is Verdict.BROKEN
    assert "hush" not in finding.detail


def test_the_bucket_of_the_archive(tmp_path: Path) -> None:
    """Good when it may be listed; without it nothing is said, and a missing one is broken."""
    assert run_check(check_archive, settings(tmp_path)) == []
    with moto_server() as moto:
        moto.client("s3").create_bucket(Bucket="there")
        for bucket, verdict in (("there", Verdict.GOOD), ("not-there", Verdict.BROKEN)):
            found = settings(
                tmp_path,
                kinesis_video={"archive": "s3", "archive_bucket": bucket},
                s3={
                    "endpoint_url": moto.endpoint_url,
                    "access_key_id": "test",
                    "secret_access_key": "test",
                },
            )
            finding = only(check_archive, found)
            assert (finding.verdict, bucket in finding.detail) == (verdict, True)
