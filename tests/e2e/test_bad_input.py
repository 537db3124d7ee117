"""Hostile and broken input: an answer in AWS's terms, the daemon lives, others do not notice."""

from __future__ import annotations

import os
import socket

import pytest
from botocore.exceptions import ClientError

from tests.support.daemon import Daemon, wait_until
from tests.support.media import put_media_body
from tests.support.producer import put_media, put_video
from tests.support.scenes import face_video
from tests.support.story import create_face_search, wait_for_status


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("garbage", os.urandom(50_000)),
        ("zeros", bytes(100_000)),
        ("html", b"<html><body>not a video</body></html>" * 100),
        ("truncated", put_media_body(face_video(1.0))[:-500]),
        ("empty", b""),
        ("header-only", put_media_body(face_video(1.0))[:40]),
    ],
    ids=["garbage", "zeros", "html", "truncated", "empty", "header-only"],
)
def test_broken_media_ends_its_own_upload_only(daemon: Daemon, name: str, body: bytes) -> None:
    """The producer is told or its whole blocks are kept; the next upload to the stream works."""
    stream = f"bad-{name}"
    daemon.client("kinesisvideo").create_stream(StreamName=stream, DataRetentionInHours=1)
    acks = put_media(daemon.port, stream, [body[i : i + 4096] for i in range(0, len(body), 4096)])
    errors = [ack for ack in acks if ack["EventType"] == "ERROR"]
    if name in ("garbage", "zeros", "html"):
        assert [ack["ErrorCode"] for ack in errors] == ["INVALID_MKV_DATA"]
        assert [ack["ErrorId"] for ack in errors] == [4006]
    again = put_video(daemon.port, stream, face_video(1.0))
    assert [a["EventType"] for a in again].count("PERSISTED") == 1
    assert daemon.get("/readyz")[0] == 200


def test_garbage_on_one_stream_does_not_disturb_another(daemon: Daemon) -> None:
    """A face search goes on while another stream is fed with noise."""
    create_face_search(daemon, "good")
    daemon.client("kinesisvideo").create_stream(StreamName="noise", DataRetentionInHours=1)
    daemon.client("rekognition").start_stream_processor(Name="good")
    wait_for_status(daemon, "good", "RUNNING")
    for _ in range(5):
        put_media(daemon.port, "noise", [os.urandom(10_000)])
    put_video(daemon.port, "good", face_video(1.0))
    records = wait_until(
        lambda: found if len(found := daemon.records("good")) >= 5 else None, what="5 records"
    )
    assert all(record["FaceSearchResponse"] for record in records)


@pytest.mark.parametrize(
    "image",
    [
        b"not an image at all" * 20,
        b"\xff\xd8\xff\xe0" + bytes(500),
        b"\x89PNG\r\n\x1a\n" + bytes(99),
    ],
    ids=["text", "jpeg-head", "png-head"],
)
def test_what_is_no_image_is_refused(daemon: Daemon, image: bytes) -> None:
    """IndexFaces answers InvalidImageFormatException."""
    rekognition = daemon.client("rekognition")
    name = f"images-{abs(hash(image)) % 10_000}"
    rekognition.create_collection(CollectionId=name)
    with pytest.raises(rekognition.exceptions.InvalidImageFormatException):
        rekognition.index_faces(CollectionId=name, Image={"Bytes": image})


def test_requests_that_are_no_http_do_not_stop_the_daemon(daemon: Daemon) -> None:
    """Noise on the port costs one connection."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=5) as connection:
        connection.sendall(os.urandom(2000))
        connection.settimeout(5)
        connection.recv(1000)
    assert daemon.get("/healthz")[0] == 200


@pytest.mark.parametrize(
    "region",
    [
        {"Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 1}]},
        {"Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 1}, {"X": 2, "Y": 0}]},
        {
            "BoundingBox": {"Left": 0, "Top": 0, "Width": 1, "Height": 1},
            "Polygon": [{"X": 0, "Y": 0}, {"X": 1, "Y": 1}, {"X": 0, "Y": 1}],
        },
        {},
    ],
    ids=["two-points", "outside", "both", "neither"],
)
def test_region_that_means_nothing_is_refused(daemon: Daemon, region: dict[str, object]) -> None:
    """CreateStreamProcessor answers InvalidParameterException."""
    rekognition = daemon.client("rekognition")
    with pytest.raises(rekognition.exceptions.InvalidParameterException):
        rekognition.create_stream_processor(
            Name="regions",
            Input={
                "KinesisVideoStream": {
                    "Arn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/x/1700000000000"
                }
            },
            Output={
                "KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/x"}
            },
            Settings={"FaceSearch": {"CollectionId": "x"}},
            RoleArn="arn:aws:iam::000000000000:role/x",
            RegionsOfInterest=[region],
        )


def test_polygon_that_crosses_itself_is_accepted_and_works(daemon: Daemon) -> None:
    """The live service takes any polygon; a bow tie is judged by the even-odd rule."""
    tie = [{"X": 0, "Y": 0}, {"X": 1, "Y": 1}, {"X": 1, "Y": 0}, {"X": 0, "Y": 1}]
    create_face_search(daemon, "tie", RegionsOfInterest=[{"Polygon": tie}])
    daemon.client("rekognition").start_stream_processor(Name="tie")
    wait_for_status(daemon, "tie", "RUNNING")
    put_video(daemon.port, "tie", face_video(1.0))
    wait_until(lambda: len(daemon.records("tie")) == 5, what="5 records")


def test_unknown_stream_is_refused_before_the_upload(daemon: Daemon) -> None:
    """PutMedia to a stream that does not exist is 404, as AWS's is."""
    video = daemon.client("kinesisvideo")
    with pytest.raises(ClientError) as caught:
        video.describe_stream(StreamName="nowhere")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
