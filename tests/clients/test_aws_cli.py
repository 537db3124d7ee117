"""The AWS CLI against a running daemon that demands signatures: the guide's own commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from tests.support.client_programs import client_env
from tests.support.daemon import Daemon, wait_until
from tests.support.producer import put_video
from tests.support.scenes import face_video
from tests.support.story import wait_for_status

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("client-aws-cli")]

AWS = Path(sys.executable).with_name("aws")
Run = Callable[..., dict[str, Any]]


def _aws(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(AWS), *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def more_settings() -> dict[str, str]:
    """GetMedia ends soon after the producer: the CLI writes its file to the end."""
    return {"STREAMD_KINESIS_VIDEO__IDLE_SECONDS": "0.5"}


@pytest.fixture
def env(signed_daemon: Daemon) -> dict[str, str]:
    """Nothing but AWS's own variables."""
    return client_env(signed_daemon)


@pytest.fixture
def run(env: dict[str, str]) -> Run:
    """Run a command that must succeed; returns its JSON."""

    def run(*arguments: str) -> dict[str, Any]:
        done = _aws(env, *arguments)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout)) if done.stdout.strip() else {}

    return run


@pytest.fixture(scope="module")
def media(signed_daemon: Daemon) -> str:
    """The name of a stream with two fragments of ten pictures."""
    daemon = signed_daemon
    daemon.client("kinesisvideo").create_stream(StreamName="media", DataRetentionInHours=1)
    put_video(daemon.port, "media", face_video(2.0), credentials=daemon.credentials)
    return "media"


def test_the_whole_story(signed_daemon: Daemon, run: Run, env: dict[str, str], photo: Path) -> None:
    """Collection, face, stream, processor, start, stop, delete, and an error by its name."""
    run("rekognition", "create-collection", "--collection-id", "cli")
    indexed = run(
        "rekognition",
        "index-faces",
        *("--collection-id", "cli", "--external-image-id", "astronaut"),
        *("--image-bytes", f"fileb://{photo}"),
    )
    assert len(indexed["FaceRecords"]) == 1
    arn = run(
        "kinesisvideo",
        "create-stream",
        *("--stream-name", "cli", "--data-retention-in-hours", "1"),
    )["StreamARN"]
    run(
        "rekognition",
        "create-stream-processor",
        *("--name", "cli", "--input", f"KinesisVideoStream={{Arn={arn}}}"),
        "--stream-processor-output",
        "KinesisDataStream={Arn=arn:aws:kinesis:us-east-1:000000000000:stream/cli}",
        *("--settings", "FaceSearch={CollectionId=cli,FaceMatchThreshold=90}"),
        *("--role-arn", "arn:aws:iam::000000000000:role/x"),
    )
    run("rekognition", "start-stream-processor", "--name", "cli")
    wait_for_status(signed_daemon, "cli", "RUNNING")
    put_video(signed_daemon.port, "cli", face_video(1.0), credentials=signed_daemon.credentials)
    wait_until(lambda: len(signed_daemon.records("cli")) == 5, what="5 records")
    described = run("rekognition", "describe-stream-processor", "--name", "cli")
    assert described["Status"] == "RUNNING"
    run("rekognition", "stop-stream-processor", "--name", "cli")
    wait_for_status(signed_daemon, "cli", "STOPPED")
    run("rekognition", "delete-stream-processor", "--name", "cli")

    gone = _aws(env, "rekognition", "describe-stream-processor", "--name", "cli")
    assert gone.returncode in (254, 255)  # of version 2, of version 1
    assert (
        "An error occurred (ResourceNotFoundException) when calling the DescribeStreamProcessor "
        "operation" in gone.stderr
    )


def test_get_media_fills_a_file(run: Run, media: str, tmp_path: Path) -> None:
    """From the endpoint that GetDataEndpoint names: all twenty pictures are in the file."""
    endpoint = run(
        *("kinesisvideo", "get-data-endpoint", "--stream-name", media, "--api-name", "GET_MEDIA")
    )["DataEndpoint"]
    target = tmp_path / "media.mkv"
    told = run(
        *("kinesis-video-media", "get-media", "--endpoint-url", endpoint, "--stream-name", media),
        *("--start-selector", "StartSelectorType=EARLIEST", str(target)),
    )
    assert told == {"ContentType": "video/webm"}
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_fragments_are_listed_and_fetched(run: Run, media: str, tmp_path: Path) -> None:
    """ListFragments page by page names what GetMediaForFragmentList then brings."""
    listed = run(
        *("kinesis-video-archived-media", "list-fragments", "--stream-name", media),
        "--fragment-selector",
        "FragmentSelectorType=SERVER_TIMESTAMP,"
        "TimestampRange={StartTimestamp=2020-01-01T00:00:00Z,EndTimestamp=2090-01-01T00:00:00Z}",
        *("--page-size", "1"),
    )["Fragments"]
    assert [fragment["FragmentLengthInMilliseconds"] for fragment in listed] == [1000, 1000]
    target = tmp_path / "media.mkv"
    numbers = sorted(fragment["FragmentNumber"] for fragment in listed)
    run(
        *("kinesis-video-archived-media", "get-media-for-fragment-list", str(target)),
        *("--stream-name", media, "--fragments", *numbers),
    )
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


def test_lists_come_in_pages(signed_daemon: Daemon, run: Run) -> None:
    """Pages of one joined by the CLI, and its own way of going on with ``--starting-token``."""
    rekognition = signed_daemon.client("rekognition")
    for name in ("page-a", "page-b", "page-c"):
        rekognition.create_collection(CollectionId=name)
    first = run("rekognition", "list-collections", "--page-size", "1", "--max-items", "2")
    rest = run("rekognition", "list-collections", "--starting-token", first["NextToken"])
    assert len(first["CollectionIds"]) == 2
    both = first["CollectionIds"] + rest["CollectionIds"]
    assert [name for name in both if name.startswith("page-")] == ["page-a", "page-b", "page-c"]
    streams = run("kinesisvideo", "list-streams", "--page-size", "1", "--max-items", "1")
    assert len(streams["StreamInfoList"]) == 1


def test_a_profile_names_the_endpoint(env: dict[str, str], tmp_path: Path) -> None:
    """``services`` of the configuration file is all that a user of the CLI has to change."""
    config = tmp_path / "config"
    config.write_text(
        "[profile cameras]\nregion = us-east-1\nservices = streamd\n"
        f"aws_access_key_id = {env.pop('AWS_ACCESS_KEY_ID')}\n"
        f"aws_secret_access_key = {env.pop('AWS_SECRET_ACCESS_KEY')}\n"
        f"[services streamd]\nrekognition =\n  endpoint_url = {env.pop('AWS_ENDPOINT_URL')}\n"
    )
    env["AWS_CONFIG_FILE"] = str(config)
    done = _aws(env, "--profile", "cameras", "rekognition", "list-stream-processors")
    assert done.returncode == 0, done.stderr
    assert "StreamProcessors" in json.loads(done.stdout)
