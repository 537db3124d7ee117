"""What compose.yaml's ``stores`` does, with a real broker and a real S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services.fetched import ServiceUnavailableError
from tests.services.kafka import KafkaBroker, kafka_broker
from tests.services.s3 import ACCESS_KEY, SECRET_KEY, S3Server, s3_server

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "prepare.py"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaBroker, S3Server]]:
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(kafka_broker(tmp_path_factory.mktemp("kafka")))
            server = stack.enter_context(s3_server(tmp_path_factory.mktemp("s3")))
        except ServiceUnavailableError as error:
            pytest.skip(str(error))
        yield broker, server


def _prepare(broker: KafkaBroker, server: S3Server) -> subprocess.CompletedProcess[str]:
    settings = {
        "STREAMD_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "STREAMD_S3__ENDPOINT_URL": server.endpoint_url,
        "STREAMD_S3__REGION": "us-east-1",
        "STREAMD_S3__ACCESS_KEY_ID": ACCESS_KEY,
        "STREAMD_S3__SECRET_ACCESS_KEY": SECRET_KEY,
        "STREAMD_KINESIS_VIDEO__ARCHIVE_BUCKET": "streamd-video",
    }
    return subprocess.run(
        [sys.executable, SCRIPT, "stores"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_topics_and_buckets_are_made_once(servers: tuple[KafkaBroker, S3Server]) -> None:
    """Run again it finds them, and says so."""
    first, again = _prepare(*servers), _prepare(*servers)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    things = ["topic faces", "topic alerts", "bucket streamd-results", "bucket streamd-video"]
    assert first.stdout.splitlines() == [f"{thing} made" for thing in things]
    assert again.stdout.splitlines() == [f"{thing} is there" for thing in things]
    buckets = {bucket["Name"] for bucket in servers[1].client().list_buckets()["Buckets"]}
    assert buckets == {"streamd-results", "streamd-video"}
