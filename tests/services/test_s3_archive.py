"""A daemon whose archive is a real S3 server: killed, replaced by another, cut off from it."""

from __future__ import annotations

import contextlib
import itertools
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.fetched import ServiceUnavailableError
from tests.services.s3 import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    S3Server,
    s3_server,
)
from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.live_camera import LiveCamera, quiet_video
from tests.support.long_form import long_form

pytestmark = [
    pytest.mark.service,
    # The first run builds the server.
    pytest.mark.timeout(400),
]

_buckets = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        with s3_server(tmp_path_factory.mktemp("s3")) as server:
            yield server
    except ServiceUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def settings(server: S3Server, tmp_path: Path) -> dict[str, str]:
    """Settings of every replica: one store, one bucket."""
    bucket = f"video-{next(_buckets)}"
    server.client().create_bucket(Bucket=bucket)
    return {
        "STREAMD_STORE__URL": f"sqlite:///{tmp_path / 'store.sqlite'}",
        "STREAMD_STORE__HOME_SECONDS": "1",
        "STREAMD_SERVER__WORKERS": "0",
        "STREAMD_KINESIS_VIDEO__ARCHIVE": "s3",
        "STREAMD_KINESIS_VIDEO__ARCHIVE_BUCKET": bucket,
        "STREAMD_KINESIS_VIDEO__IDLE_SECONDS": "0.5",
        "STREAMD_S3__ENDPOINT_URL": server.endpoint_url,
        "STREAMD_S3__ACCESS_KEY_ID": ACCESS_KEY,
        "STREAMD_S3__SECRET_ACCESS_KEY": SECRET_KEY,
        "STREAMD_S3__REGION": REGION,
    }


@contextlib.contextmanager
def camera_at(daemon: Daemon, name: str = "door") -> Iterator[LiveCamera]:
    camera = LiveCamera(daemon.port, name, quiet_video()).start()
    try:
        yield camera
    finally:
        camera.stop()


def create(daemon: Daemon, name: str = "door") -> None:
    daemon.client("kinesisvideo").create_stream(StreamName=name, DataRetentionInHours=24)


def listed(daemon: Daemon, name: str = "door") -> list[str]:
    """Return the numbers ListFragments tells of, in order."""
    pages = daemon.client("kinesis-video-archived-media").get_paginator("list_fragments")
    span = {"StartTimestamp": 0, "EndTimestamp": 4_000_000_000}
    selector = {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": span}
    return sorted(
        fragment["FragmentNumber"]
        for page in pages.paginate(StreamName=name, FragmentSelector=selector)
        for fragment in page["Fragments"]
    )


def media(daemon: Daemon, numbers: list[str], name: str = "door") -> dict[str, bytes]:
    """Return each fragment's bytes."""
    client = daemon.client("kinesis-video-archived-media")
    return {
        number: client.get_media_for_fragment_list(StreamName=name, Fragments=[number])[
            "Payload"
        ].read()
        for number in numbers
    }


def read_on(daemon: Daemon, after: str, name: str = "door") -> bytes:
    """Return what GetMedia gives behind a fragment."""
    answer: Any = daemon.client("kinesis-video-media").get_media(
        StreamName=name,
        StartSelector={"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": after},
    )
    body: bytes = answer["Payload"].read()
    return body


def adopted(daemon: Daemon, name: str = "door") -> bool:
    with contextlib.suppress(daemon.client("kinesis-video-media").exceptions.ClientError):
        listed(daemon, name)
        return True
    return False


def test_another_daemon_has_all_that_was_promised(settings: dict[str, str], tmp_path: Path) -> None:
    """kill -9, an empty data directory, the same store and bucket: every PERSISTED, byte for byte."""
    with running_daemon(tmp_path / "first", settings) as first:
        create(first)
        with camera_at(first) as camera:
            wait_until(lambda: len(camera.persisted) >= 6, what="fragments")
            numbers = list(camera.persisted)
            before = media(first, numbers)
            first.kill()
    assert all(before.values())
    with running_daemon(tmp_path / "second", settings) as second:
        wait_until(lambda: adopted(second), what="the stream to be adopted")
        assert set(numbers) <= set(listed(second))
        assert media(second, numbers) == before
        tags = [b"AWS_KINESISVIDEO_FRAGMENT_NUMBER", *(number.encode() for number in numbers[1:])]
        whole = read_on(second, numbers[0])
        assert [tag for tag in tags if tag not in whole] == []
        # And on from there: numbers rise, both replicas' fragments are one stream.
        with camera_at(second) as camera:
            wait_until(lambda: len(camera.persisted) >= 2, what="new fragments")
            assert camera.persisted[0] > max(numbers)
        assert set(numbers) | set(camera.persisted) <= set(listed(second))
        assert second.terminate() == 0
    assert "Traceback" not in second.log()


def test_while_the_server_is_away_video_goes_on(
    server: S3Server, settings: dict[str, str], tmp_path: Path
) -> None:
    """Nothing is promised meanwhile; a kill in between loses nothing; then all is in S3."""
    with running_daemon(tmp_path / "data", settings) as daemon:
        create(daemon)
        with camera_at(daemon) as camera:
            wait_until(lambda: len(camera.persisted) >= 2, what="fragments")
            server.stop()
            try:
                wait_until(
                    lambda: (
                        daemon.metric("streamd_archive_waiting_bytes") > 0
                        or "wait on the local disk" in daemon.log()
                    ),
                    what="the outage to be seen",
                )
                promised = len(camera.persisted)
                count = len(listed(daemon))
                wait_until(lambda: len(listed(daemon)) >= count + 4, what="fragments meanwhile")
                assert len(camera.persisted) <= promised + 1  # one may have been on its way
                # They can be read here, live and archived.
                assert all(media(daemon, listed(daemon)[-3:-1]).values())
                kept = listed(daemon)
                daemon.kill()
                camera.stop()
                daemon.start()
                assert set(kept[:-1]) <= set(listed(daemon))
            finally:
                server.start()
    with running_daemon(tmp_path / "data", settings) as daemon:
        objects = server.client().list_objects_v2

        def stored() -> set[str]:
            bucket = settings["STREAMD_KINESIS_VIDEO__ARCHIVE_BUCKET"]
            found = objects(Bucket=bucket, Prefix="kinesis-video/").get("Contents", [])
            return {item["Key"].rpartition("/")[2].partition("_")[0] for item in found}

        wait_until(lambda: set(kept[:-1]) | set(camera.persisted) <= stored(), what="all in S3")
        daemon.kill()
    with running_daemon(tmp_path / "other", settings) as other:
        wait_until(lambda: adopted(other), what="the stream to be adopted")
        assert set(kept[:-1]) <= set(listed(other))


@long_form
def test_a_server_that_says_nothing_holds_up_nobody(
    server: S3Server, settings: dict[str, str], tmp_path: Path
) -> None:
    """Frozen with every connection open: producers and consumers of new video go on."""
    with running_daemon(tmp_path / "data", settings) as daemon:
        create(daemon)
        with camera_at(daemon) as camera:
            wait_until(lambda: len(camera.persisted) >= 2, what="fragments")
            server.freeze()
            try:
                count = daemon.metric("streamd_fragments_received_total")
                wait_until(
                    lambda: daemon.metric("streamd_fragments_received_total") >= count + 6,
                    what="fragments meanwhile",
                )
                assert daemon.get("/readyz")[0] == 200
                promised = len(camera.persisted)
            finally:
                server.thaw()
            wait_until(lambda: len(camera.persisted) >= promised + 8, what="promises again")
        assert daemon.terminate() == 0


@long_form
def test_a_missing_bucket_is_told(settings: dict[str, str], tmp_path: Path) -> None:
    """The daemon does not start, and names the setting."""
    wrong = {**settings, "STREAMD_KINESIS_VIDEO__ARCHIVE_BUCKET": "no-such-bucket"}
    daemon = Daemon(tmp_path / "data", wrong)
    try:
        daemon.start(ready=False)
        wait_until(lambda: "no-such-bucket does not exist" in daemon.log(), what="the message")
        assert "kinesis_video.archive_bucket" in daemon.log()
        assert "Traceback" not in daemon.log()
    finally:
        daemon.stop()
    with contextlib.suppress(OSError):
        urllib.request.urlopen(daemon.url, timeout=1)
        pytest.fail("it serves")
