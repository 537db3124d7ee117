"""Steps every story with a daemon begins with, as an AWS user would write them."""

from __future__ import annotations

from typing import Any

from tests.support.daemon import Daemon, wait_until
from tests.support.scenes import astronaut_jpeg

__all__ = [
    "ROLE",
    "create_face_search",
    "create_labels",
    "create_stream",
    "status_of",
    "wait_for_status",
]

ROLE = "arn:aws:iam::000000000000:role/streamd"


def create_face_search(
    daemon: Daemon,
    name: str,
    *,
    stream: str | None = None,
    stream_arn: str | None = None,
    account: str = "000000000000",
    role: str = ROLE,
    **more: Any,
) -> tuple[str, str]:
    """Make a collection with one face, a stream and a face-search processor of one name.

    With ``stream_arn`` the stream is there already, here or elsewhere.

    Returns:
        The FaceId of the astronaut and the ARN of the video stream.

    """
    rekognition = daemon.client("rekognition")
    rekognition.create_collection(CollectionId=name)
    indexed = rekognition.index_faces(
        CollectionId=name, Image={"Bytes": astronaut_jpeg()}, ExternalImageId="astronaut"
    )
    arn = stream_arn or create_stream(daemon, stream or name)
    rekognition.create_stream_processor(
        Name=name,
        Input={"KinesisVideoStream": {"Arn": arn}},
        Output={"KinesisDataStream": {"Arn": f"arn:aws:kinesis:us-east-1:{account}:stream/{name}"}},
        Settings={"FaceSearch": {"CollectionId": name, "FaceMatchThreshold": 85}},
        RoleArn=role,
        **more,
    )
    return indexed["FaceRecords"][0]["Face"]["FaceId"], arn


def create_stream(daemon: Daemon, name: str) -> str:
    """Make a video stream and return its ARN."""
    client = daemon.client("kinesisvideo")
    return str(client.create_stream(StreamName=name, DataRetentionInHours=1)["StreamARN"])


def create_labels(
    daemon: Daemon,
    name: str,
    stream_arn: str,
    *,
    labels: tuple[str, ...] = ("PERSON",),
    account: str = "000000000000",
    **more: Any,
) -> None:
    """Make a label-detection processor that writes to bucket and topic of its name."""
    daemon.client("rekognition").create_stream_processor(
        Name=name,
        Input={"KinesisVideoStream": {"Arn": stream_arn}},
        Output={"S3Destination": {"Bucket": name, "KeyPrefix": "cameras"}},
        NotificationChannel={"SNSTopicArn": f"arn:aws:sns:us-east-1:{account}:{name}"},
        Settings={"ConnectedHome": {"Labels": list(labels), "MinConfidence": 60}},
        RoleArn=ROLE,
        **more,
    )


def status_of(daemon: Daemon, name: str) -> str:
    """Return the processor's status."""
    answer = daemon.client("rekognition").describe_stream_processor(Name=name)
    return str(answer["Status"])


def wait_for_status(daemon: Daemon, name: str, *statuses: str, seconds: float = 30.0) -> str:
    """Wait until the processor has one of the statuses and return it."""

    def reached() -> str | None:
        status = status_of(daemon, name)
        return status if status in statuses else None

    return str(wait_until(reached, seconds=seconds, what=f"{name} to be {statuses}"))
