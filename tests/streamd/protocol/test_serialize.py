"""Facts about answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from streamd.protocol.serialize import serialize_output
from streamd.protocol.service import load_service

REKOGNITION = load_service("rekognition")


def serialize(operation: str, output: dict[str, Any]) -> Any:
    shape = REKOGNITION.operations[operation].output_shape
    return json.loads(serialize_output(REKOGNITION, shape, output))


def test_an_empty_output_is_an_empty_object() -> None:
    """Stop, Delete, Update, Tag and Untag answer {}."""
    assert serialize_output(REKOGNITION, "StopStreamProcessorResponse", {}) == b"{}"
    assert serialize_output(REKOGNITION, None, {}) == b"{}"


def test_timestamps_are_epoch_seconds_with_milliseconds() -> None:
    """A time is a number such as 1574421649.774."""
    moment = datetime(2019, 11, 22, 11, 20, 49, 774321, UTC)
    answer = serialize("DescribeCollection", {"CreationTimestamp": moment, "FaceCount": 3})
    assert answer == {"CreationTimestamp": 1574421649.774, "FaceCount": 3}


def test_none_is_left_out() -> None:
    """A member without a value is not in the answer, however deep."""
    output = {"Name": "a", "Output": {"S3Destination": {"Bucket": "b", "KeyPrefix": None}}}
    assert serialize("DescribeStreamProcessor", {**output, "KmsKeyId": None}) == {
        "Name": "a",
        "Output": {"S3Destination": {"Bucket": "b"}},
    }


def test_maps_lists_and_text_beyond_ascii() -> None:
    """Tags keep their text."""
    assert serialize("ListTagsForResource", {"Tags": {"Käse": "ü"}}) == {"Tags": {"Käse": "ü"}}


def test_blobs_are_base64() -> None:
    """Bytes are base64 text."""
    shape = "AuditImage"
    assert serialize_output(REKOGNITION, shape, {"Bytes": b"\x00\x01"}) == b'{"Bytes":"AAE="}'


@pytest.mark.parametrize(
    "output",
    [
        {"NoSuchMember": 1},
        {"FaceCount": "3"},
        {"FaceCount": True},
        {"FaceModelVersion": 3},
    ],
    ids=["unknown", "text", "bool", "number"],
)
def test_mistakes_of_ours_are_assertions(output: dict[str, Any]) -> None:
    """An answer no SDK could read never leaves the daemon."""
    with pytest.raises(AssertionError):
        serialize("DescribeCollection", output)


def test_numbers_must_be_finite() -> None:
    """NaN is no JSON."""
    with pytest.raises(AssertionError):
        serialize("SearchFacesByImage", {"SearchedFaceConfidence": float("nan")})
