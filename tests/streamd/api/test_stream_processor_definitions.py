"""Definitions of stream processors that are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from streamd.store.errors import LimitError
from tests.support.rekognition import Endpoint
from tests.support.stream_processors import (
    BOX,
    BUCKET,
    FACE,
    GENERIC,
    KINESIS,
    LABEL,
    TRIANGLE,
    create,
    fresh,
    refusal,
)

POINT = {"X": 0.5, "Y": 0.5}

BAD_DEFINITIONS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no kind": (FACE, {"Settings": {}},
        GENERIC + "Settings needs exactly one of FaceSearch and ConnectedHome."),
    "both kinds": (FACE, {"Settings": {**FACE["Settings"], **LABEL["Settings"]}},
        GENERIC + "Settings needs exactly one of FaceSearch and ConnectedHome."),
    "no collection": (FACE, {"Settings": {"FaceSearch": {}}},
        GENERIC + "Settings.FaceSearch.CollectionId is required."),
    "no output": (FACE, {"Output": {}},
        GENERIC + "Output needs exactly one of KinesisDataStream and S3Destination."),
    "both outputs": (FACE, {"Output": {**KINESIS, **BUCKET}},
        GENERIC + "Output needs exactly one of KinesisDataStream and S3Destination."),
    "no stream": (FACE, {"Output": {"KinesisDataStream": {}}},
        GENERIC + "Output.KinesisDataStream.Arn is required."),
    "no bucket": (LABEL, {"Output": {"S3Destination": {"KeyPrefix": "a"}}},
        GENERIC + "Output.S3Destination.Bucket is required."),
    "no input stream": (FACE, {"Input": {}},
        GENERIC + "Input.KinesisVideoStream.Arn is required."),
    "no topic": (LABEL, {"NotificationChannel": None},
        GENERIC + "Label detection with an S3Destination needs a NotificationChannel."),
    "unknown label": (LABEL, {"Settings": {"ConnectedHome": {"Labels": ["PERSON", "CAT"]}}},
        GENERIC + "Labels can be PERSON, PET, PACKAGE, ALL, got 'CAT'."),
    "empty region": (FACE, {"RegionsOfInterest": [BOX, {}]},
        GENERIC + "RegionsOfInterest[2] needs exactly one of BoundingBox and Polygon."),
    "region twice": (FACE, {"RegionsOfInterest": [{**BOX, **TRIANGLE}]},
        GENERIC + "RegionsOfInterest[1] needs exactly one of BoundingBox and Polygon."),
    "two points": (FACE, {"RegionsOfInterest": [{"Polygon": [POINT, POINT]}]},
        GENERIC + "RegionsOfInterest[1].Polygon needs 3 to 10 points, got 2."),
    "wrong input arn": (FACE, {"Input": {"KinesisVideoStream": {"Arn": "arn:aws:s3:::x"}}},
        "1 validation error detected: Value 'arn:aws:s3:::x' at 'input.kinesisVideoStream.arn' "
        "failed to satisfy constraint: Member must satisfy regular expression pattern: "
        r"(^arn:([a-z\d-]+):kinesisvideo:([a-z\d-]+):\d{12}:.+$)"),
    "wrong role arn": (FACE, {"RoleArn": "role"},
        "1 validation error detected: Value 'role' at 'roleArn' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: arn:aws:iam::\d{12}:role/?"
        r"[a-zA-Z_0-9+=,.@\-_/]+"),
    "wrong name": (FACE, {"Name": "a b"},
        "1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+"),
    "threshold": (FACE, {"Settings": {"FaceSearch":
        {"CollectionId": "c", "FaceMatchThreshold": 100.5}}},
        "1 validation error detected: Value '100.5' at "
        "'settings.faceSearch.faceMatchThreshold' failed to satisfy constraint: "
        "Member must have value less than or equal to 100"),
    "no labels": (LABEL, {"Settings": {"ConnectedHome": {}}},
        "1 validation error detected: Value null at 'settings.connectedHome.labels' failed to "
        "satisfy constraint: Member must not be null"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DEFINITIONS)
def test_definitions_that_are_refused(client: Any, name: str) -> None:
    """Each rule between members, and each constraint, is an InvalidParameterException."""
    base, changes, message = BAD_DEFINITIONS[name]
    params = {**copy.deepcopy(base), "Name": fresh(), **changes}
    kept = {member: value for member, value in params.items() if value is not None}
    assert refusal(client.create_stream_processor, **kept) == (
        "InvalidParameterException",
        message,
    )


def test_more_than_ten_regions(client: Any) -> None:
    """Eleven regions are too many, ten are not."""
    create(client, FACE, RegionsOfInterest=[BOX] * 10)
    code, message = refusal(
        client.create_stream_processor, Name=fresh(), **FACE, RegionsOfInterest=[BOX] * 11
    )
    assert code == "InvalidParameterException"
    assert "Member must have length less than or equal to 10" in message


def test_a_name_in_use(client: Any) -> None:
    """A second processor of the same name is refused, identical or not."""
    name = create(client, FACE)
    assert refusal(client.create_stream_processor, Name=name, **FACE) == (
        "ResourceInUseException",
        "Stream processor name already in use.",
    )


def test_too_many_tags(client: Any) -> None:
    """A resource has at most 50 tags."""
    tags = {f"k{n}": "v" for n in range(51)}
    code, _ = refusal(client.create_stream_processor, Name=fresh(), **FACE, Tags=tags)
    assert code == "ServiceQuotaExceededException"


def test_the_account_limit(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 10,000 processors are a LimitExceededException that names the limit."""

    def full(**_: Any) -> None:
        raise LimitError("stream processors", 10_000)

    monkeypatch.setattr(endpoint.store, "create_stream_processor", full)
    assert refusal(endpoint.client.create_stream_processor, Name=fresh(), **FACE) == (
        "LimitExceededException",
        "Stream processor limit exceeded for account, limit - 10000.",
    )
