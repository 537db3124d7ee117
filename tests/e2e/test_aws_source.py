"""Kinesis Video and the data stream at AWS, by the stream processor's role, on a bad day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws_front import AwsFront, aws_front
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.ledger import audit
from tests.support.live_camera import LiveCamera, quiet_video
from tests.support.moto import ACCOUNT_ID, Moto, moto_server
from tests.support.story import create_face_search, create_stream, status_of, wait_for_status

OWN_KEY = "AKIDAEMON"
ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/cameras"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon that stands for Kinesis Video."""
    directory = tmp_path_factory.mktemp("video")
    with running_daemon(directory / "data", {"STREAMD_SERVER__WORKERS": "1"}) as daemon:
        yield daemon


@pytest.fixture
def front(moto: Moto, video: Daemon) -> Iterator[AwsFront]:
    with aws_front(video_url=video.url, other_url=moto.endpoint_url) as it:
        yield it


@pytest.fixture
def daemon(data_dir: Path, front: AwsFront) -> Iterator[Daemon]:
    """A daemon with nothing of its own: video, data stream and roles are AWS's."""
    env = {
        "STREAMD_SERVER__WORKERS": "1",
        "STREAMD_AWS__ACCOUNT_ID": ACCOUNT_ID,
        "STREAMD_AWS__ASSUME_ROLES": "true",
        "STREAMD_AWS__STS_ENDPOINT_URL": front.url,
        "STREAMD_KINESIS_VIDEO__ENDPOINT_URL": front.url,
        "STREAMD_OUTPUTS__KINESIS": "kinesis",
        "STREAMD_KINESIS__ENDPOINT_URL": front.url,
        "AWS_ACCESS_KEY_ID": OWN_KEY,
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    with running_daemon(data_dir, env) as running:
        yield running


def _search(daemon: Daemon, video: Daemon, moto: Moto, name: str) -> None:
    moto.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    arn = create_stream(video, name)
    create_face_search(daemon, name, stream_arn=arn, account=ACCOUNT_ID, role=ROLE)
    daemon.client("rekognition").start_stream_processor(Name=name)


def _records(moto: Moto, name: str) -> list[dict[str, Any]]:
    client = moto.client("kinesis")
    shard = client.get_shard_iterator(
        StreamName=name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    return [json.loads(r["Data"]) for r in client.get_records(ShardIterator=shard)["Records"]]


def _message(daemon: Daemon, name: str) -> str:
    answer = daemon.client("rekognition").describe_stream_processor(Name=name)
    return str(answer.get("StatusMessage", ""))


def test_nothing_is_lost_between_answers_keys_and_limits(
    daemon: Daemon, front: AwsFront, video: Daemon, moto: Moto
) -> None:
    """Cut answers, expired keys, throttling: every fragment has its records, once, in order."""
    front.throttled.update({"getDataEndpoint": 2, "getMedia": 2, "PutRecords": 2})
    front.cut_after_seconds = 1.2
    _search(daemon, video, moto, "cam")
    wait_for_status(daemon, "cam", "RUNNING")
    camera = LiveCamera(video.port, "cam", quiet_video()).start()
    try:
        wait_until(lambda: len(_records(moto, "cam")) >= 10, what="first records")
        front.expire_keys()
        front.throttled.update({"getMedia": 2, "PutRecords": 1})
        before = len(camera.persisted)
        wait_until(lambda: len(camera.persisted) >= before + 6, what="more fragments")
    finally:
        promised = camera.stop()
    wait_until(lambda: not audit(_records(moto, "cam"), promised).lost, what="all records")
    ledger = audit(_records(moto, "cam"), promised)
    assert ledger.is_ordered
    assert ledger.repeated == 0
    assert status_of(daemon, "cam") == "RUNNING"
    # The role was assumed with the daemon's key, and again when what it gave was too old.
    assert front.roles == {ROLE}
    assert front.used["sts"] == {OWN_KEY}
    assert front.calls["AssumeRole"] == 2
    for service in ("kinesisvideo", "kinesis"):
        assert len(front.used[service]) == 2, service
        assert OWN_KEY not in front.used[service]
    # Two were throttled; cut answers and expired keys are no reason to ask again.
    assert front.calls["getDataEndpoint"] == 3
    assert front.calls["getMedia"] > 6


def test_role_that_may_not_be_assumed_ends_the_session(
    daemon: Daemon, front: AwsFront, video: Daemon, moto: Moto
) -> None:
    """FAILED, in AWS's words; a service that is only busy is waited for."""
    front.sts_error = (403, "AccessDenied")
    _search(daemon, video, moto, "denied")
    wait_for_status(daemon, "denied", "FAILED")
    assert _message(daemon, "denied") == "Access denied to Role"

    front.sts_error = (400, "Throttling")
    asked = front.calls["AssumeRole"]
    daemon.client("rekognition").start_stream_processor(Name="denied")
    wait_until(lambda: front.calls["AssumeRole"] >= asked + 4, what="the role to be asked for")
    assert status_of(daemon, "denied") == "STARTING"
    front.sts_error = None
    wait_for_status(daemon, "denied", "RUNNING")
