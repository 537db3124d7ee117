"""boto3 against a running daemon that demands signatures: what its other tests do not touch."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.client_programs import client_env
from tests.support.daemon import Daemon, wait_until
from tests.support.producer import put_video
from tests.support.scenes import astronaut_jpeg, face_video
from tests.support.story import ROLE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("client-boto3")]

SELECTOR = {
    "FragmentSelectorType": "SERVER_TIMESTAMP",
    "TimestampRange": {"StartTimestamp": 1, "EndTimestamp": 4_000_000_000},
}


@pytest.fixture(scope="module")
def filled(signed_daemon: Daemon) -> Daemon:
    """Three of everything that is listed in pages."""
    daemon = signed_daemon
    rekognition, video = daemon.client("rekognition"), daemon.client("kinesisvideo")
    for name in ("a", "b", "c"):
        rekognition.create_collection(CollectionId=name)
        rekognition.index_faces(
            CollectionId="a", Image={"Bytes": astronaut_jpeg()}, ExternalImageId=name
        )
        arn = video.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"]
        rekognition.create_stream_processor(
            Name=name,
            Input={"KinesisVideoStream": {"Arn": arn}},
            Output={
                "KinesisDataStream": {
                    "Arn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}"
                }
            },
            Settings={"FaceSearch": {"CollectionId": name}},
            RoleArn=ROLE,
        )
    put_video(daemon.port, "a", face_video(3.0), credentials=daemon.credentials)
    return daemon


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "field", "count"),
    [
        ("rekognition", "list_collections", {}, "CollectionIds", 3),
        ("rekognition", "list_faces", {"CollectionId": "a"}, "Faces", 3),
        ("rekognition", "list_stream_processors", {}, "StreamProcessors", 3),
        ("kinesisvideo", "list_streams", {}, "StreamInfoList", 3),
        (
            "kinesis-video-archived-media",
            "list_fragments",
            {"StreamName": "a", "FragmentSelector": SELECTOR},
            "Fragments",
            3,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_paginators_see_everything_once(
    filled: Daemon, service: str, operation: str, arguments: dict[str, Any], field: str, count: int
) -> None:
    """Pages of one, each thing on one page, and an end."""
    paginator = filled.client(service).get_paginator(operation)
    pages = list(paginator.paginate(**arguments, PaginationConfig={"PageSize": 1}))
    found = [str(item) for page in pages for item in page[field]]
    assert len(found) == len(set(found)) == count
    assert max(len(page[field]) for page in pages) == 1
    assert "NextToken" not in pages[-1]


def test_get_media_brings_bytes_while_they_are_sent(signed_daemon: Daemon) -> None:
    """The payload can be read while the producer is still sending."""
    signed_daemon.client("kinesisvideo").create_stream(StreamName="live", DataRetentionInHours=1)
    stop = threading.Event()
    producer = threading.Thread(
        target=put_video,
        args=(signed_daemon.port, "live", face_video(2.0)),
        kwargs={
            "real_time": True,
            "repeat": 15,
            "stop": stop,
            "credentials": signed_daemon.credentials,
        },
    )
    payload = signed_daemon.client("kinesis-video-media").get_media(
        StreamName="live", StartSelector={"StartSelectorType": "NOW"}
    )["Payload"]
    producer.start()
    try:
        first = next(payload.iter_chunks(1024))
        assert producer.is_alive()
        assert first[:4] == b"\x1aE\xdf\xa3"  # EBML
        assert b"AWS_KINESISVIDEO_FRAGMENT_NUMBER" in first
    finally:
        stop.set()
        producer.join()
        payload.close()


@pytest.fixture
def flaky_port(signed_daemon: Daemon) -> Iterator[int]:
    """A port that hangs up on the first connection and passes the others on."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            first, _ = server.accept()
            first.recv(65536)
            first.close()
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_relay, args=(client, signed_daemon.port)).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _relay(client: socket.socket, port: int) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as upstream:
        back = threading.Thread(target=_pump, args=(upstream, client))
        back.start()
        _pump(client, upstream)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_retry_modes_get_over_a_lost_connection(
    signed_daemon: Daemon, flaky_port: int, mode: Literal["legacy", "standard", "adaptive"]
) -> None:
    """The second try is signed anew and served."""
    key, secret = signed_daemon.credentials
    rekognition = boto3.client(
        "rekognition",
        endpoint_url=f"http://127.0.0.1:{flaky_port}",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"mode": mode, "total_max_attempts": 3}),
    )
    answer = rekognition.list_stream_processors()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    rekognition.close()


@pytest.fixture
def aws_environment(signed_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """AWS's own environment variables, without an endpoint."""
    for name, value in client_env(signed_daemon).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    return signed_daemon


def _everything_answers(session: boto3.Session) -> None:
    assert session.client("rekognition").list_collections()["CollectionIds"] is not None
    video = session.client("kinesisvideo")
    assert video.list_streams()["StreamInfoList"] is not None
    for service, operation in (
        ("kinesis-video-media", "get_media"),
        ("kinesis-video-archived-media", "list_fragments"),
    ):
        client = session.client(service)  # type: ignore[call-overload]  # wants a literal
        arguments = (
            {"StartSelector": {"StartSelectorType": "NOW"}}
            if operation == "get_media"
            else {"FragmentSelector": SELECTOR}
        )
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(StreamName="nowhere", **arguments)
        assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
        assert isinstance(caught.value, client.exceptions.ResourceNotFoundException)


def test_one_variable_moves_every_service(
    aws_environment: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL alone."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_environment.url)
    _everything_answers(boto3.Session())


def test_a_variable_for_each_service(
    aws_environment: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL_REKOGNITION and its like."""
    for service in (
        *("REKOGNITION", "KINESIS_VIDEO", "KINESIS_VIDEO_MEDIA"),
        "KINESIS_VIDEO_ARCHIVED_MEDIA",
    ):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", aws_environment.url)
    _everything_answers(boto3.Session())


def test_a_services_section_of_the_configuration_file(
    aws_environment: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A profile's ``services``, with an endpoint for each of the four."""
    key, secret = aws_environment.credentials
    config = tmp_path / "config"
    services = (
        "rekognition",
        *("kinesis_video", "kinesis_video_media", "kinesis_video_archived_media"),
    )
    config.write_text(
        "[profile cameras]\nregion = us-east-1\nservices = streamd\n"
        f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n[services streamd]\n"
        + "".join(f"{name} =\n  endpoint_url = {aws_environment.url}\n" for name in services)
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    _everything_answers(boto3.Session(profile_name="cameras"))


def test_temporary_credentials_are_served(aws_environment: Daemon) -> None:
    """A session token is signed with the rest; who has none of AWS's STS may send any."""
    key, secret = aws_environment.credentials
    session = boto3.Session(key, secret, "a-session-token")
    video = session.client("kinesisvideo", endpoint_url=aws_environment.url)
    assert video.list_streams()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_presigned_urls_are_served_until_they_expire(signed_daemon: Daemon) -> None:
    """generate_presigned_url: a POST without a body lists the streams."""
    client = signed_daemon.client("kinesisvideo")

    def signed(seconds: int) -> urllib.request.Request:
        url = client.generate_presigned_url("list_streams", ExpiresIn=seconds)
        # The content type is signed, too.
        headers = {"Content-Type": "application/json"}
        return urllib.request.Request(url, method="POST", headers=headers)

    with urllib.request.urlopen(signed(900), timeout=10) as answer:
        assert answer.status == 200
        assert b"StreamInfoList" in answer.read()
    short = signed(1)
    refused = wait_until(lambda: _refusal(short), seconds=10, what="the URL to expire")
    assert refused == (400, "InvalidSignatureException")


def _refusal(request: urllib.request.Request) -> tuple[int, str] | None:
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-amzn-ErrorType"]
    return None
