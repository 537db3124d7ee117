"""Requests that make stream processors, and what is said when one is refused."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

INPUT = {"KinesisVideoStream": {"Arn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam"}}
KINESIS = {"KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/out"}}
BUCKET = {"S3Destination": {"Bucket": "bucket", "KeyPrefix": "a/b"}}
ROLE = "arn:aws:iam::000000000000:role/streamd"
TOPIC = {"SNSTopicArn": "arn:aws:sns:us-east-1:000000000000:topic"}
FACE: dict[str, Any] = {
    "Input": INPUT,
    "Output": KINESIS,
    "RoleArn": ROLE,
    "Settings": {"FaceSearch": {"CollectionId": "faces", "FaceMatchThreshold": 85.5}},
}
LABEL: dict[str, Any] = {
    "Input": INPUT,
    "Output": BUCKET,
    "RoleArn": ROLE,
    "NotificationChannel": TOPIC,
    "Settings": {"ConnectedHome": {"Labels": ["PERSON", "ALL"]}},
}
BOX = {"BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4}}
TRIANGLE = {"Polygon": [{"X": 0.0, "Y": 0.0}, {"X": 1.0, "Y": 0.0}, {"X": 0.5, "Y": 1.0}]}
START = {
    "StartSelector": {"KVSStreamStartSelector": {"ProducerTimestamp": 1655930623123}},
    "StopSelector": {"MaxDurationInSeconds": 5},
}

_numbers = itertools.count()


def fresh(kind: str = "p") -> str:
    return f"{kind}-{next(_numbers)}"


def create(client: Any, base: dict[str, Any], **changes: Any) -> str:
    name = fresh()
    client.create_stream_processor(**{**copy.deepcopy(base), "Name": name, **changes})
    return name


def refusal(call: Any, /, *args: Any, **params: Any) -> tuple[str, str]:
    """The class of exception boto3 raises and its message."""
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return type(caught.value).__name__, caught.value.response["Error"]["Message"]


GENERIC = "Request has invalid parameters. "
