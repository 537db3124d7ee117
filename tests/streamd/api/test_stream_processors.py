"""Facts about creating, describing, listing and deleting stream processors, seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rekognition import Endpoint
from tests.support.stream_processors import (
    BOX,
    BUCKET,
    FACE,
    KINESIS,
    LABEL,
    TOPIC,
    TRIANGLE,
    create,
    fresh,
    refusal,
)


def test_a_face_search_processor_is_described_as_created(client: Any) -> None:
    """Describe echoes a face processor, with its threshold and regions, and STOPPED."""
    name = fresh()
    answer = client.create_stream_processor(
        Name=name, **FACE, RegionsOfInterest=[BOX, TRIANGLE], Tags={"team": "door"}
    )
    arn = f"arn:aws:rekognition:us-east-1:000000000000:streamprocessor/{name}"
    assert answer["StreamProcessorArn"] == arn
    described = client.describe_stream_processor(Name=name)
    described.pop("ResponseMetadata")
    created, updated = described.pop("CreationTimestamp"), described.pop("LastUpdateTimestamp")
    assert created == updated
    assert described == {
        "Name": name,
        "StreamProcessorArn": arn,
        "Status": "STOPPED",
        **FACE,
        "RegionsOfInterest": [BOX, TRIANGLE],
        "DataSharingPreference": {"OptIn": False},
    }
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "door"}


def test_a_label_processor_is_described_as_created(client: Any) -> None:
    """Describe echoes a label processor, with the default MinConfidence filled in."""
    name = create(client, LABEL, KmsKeyId="alias/key", DataSharingPreference={"OptIn": True})
    described = client.describe_stream_processor(Name=name)
    assert described["Settings"] == {
        "ConnectedHome": {"Labels": ["PERSON", "ALL"], "MinConfidence": 50.0}
    }
    assert described["Output"] == BUCKET
    assert described["NotificationChannel"] == TOPIC
    assert described["KmsKeyId"] == "alias/key"
    assert described["DataSharingPreference"] == {"OptIn": True}
    assert "StatusMessage" not in described
    assert "RegionsOfInterest" not in described


@pytest.mark.parametrize(
    ("given", "stored"), [(None, 80.0), (0, 80.0), (79.9, 80.0), (85.5, 85.5), (100, 100.0)]
)
def test_thresholds_below_80_are_stored_as_80(
    client: Any, given: float | None, stored: float
) -> None:
    """FaceMatchThreshold is 80 by default and at least."""
    face = {"CollectionId": "faces"} | ({} if given is None else {"FaceMatchThreshold": given})
    name = create(client, FACE, Settings={"FaceSearch": face})
    described = client.describe_stream_processor(Name=name)
    assert described["Settings"]["FaceSearch"]["FaceMatchThreshold"] == stored


def test_either_kind_may_use_either_output(client: Any) -> None:
    """An extension: face search to S3, label detection to Kinesis, with or without a topic."""
    create(client, FACE, Output=BUCKET)
    create(client, LABEL, Output=KINESIS)
    create(client, {k: v for k, v in LABEL.items() if k != "NotificationChannel"}, Output=KINESIS)


def test_two_processors_may_share_an_input(client: Any) -> None:
    """An extension: several processors on one video stream."""
    create(client, FACE)
    create(client, LABEL)


@pytest.mark.parametrize(
    "operation",
    [
        "describe_stream_processor",
        "start_stream_processor",
        "stop_stream_processor",
        "update_stream_processor",
        "delete_stream_processor",
    ],
)
def test_an_unknown_processor(client: Any, operation: str) -> None:
    """Every operation on a name nobody has is ResourceNotFoundException, with status 400."""
    assert refusal(getattr(client, operation), Name="nobody") == (
        "ResourceNotFoundException",
        "Stream processor nobody not found.",
    )


def test_list_pages_in_order_of_names(endpoint: Endpoint) -> None:
    """The paginator finds every processor once, with Name and Status alone."""
    client = endpoint.client
    names = {create(client, FACE) for _ in range(5)}
    pages = list(
        client.get_paginator("list_stream_processors").paginate(PaginationConfig={"PageSize": 2})
    )
    found = [item for page in pages for item in page["StreamProcessors"]]
    assert len(pages) >= 3
    assert [item["Name"] for item in found] == sorted(item["Name"] for item in found)
    assert names <= {item["Name"] for item in found}
    assert {"Name", "Status"} == set(found[0])


@pytest.mark.parametrize("token", ["garbage", "", "ä", "0" * 255])
def test_tokens_nobody_gave(client: Any, token: str) -> None:
    """A token that was made up is InvalidPaginationTokenException."""
    assert refusal(client.list_stream_processors, NextToken=token) == (
        "InvalidPaginationTokenException",
        "Invalid Pagination Token",
    )


def test_a_token_of_another_operation(client: Any) -> None:
    """A token works for the operation that gave it."""
    for _ in range(2):
        create(client, FACE)
        client.create_collection(CollectionId=fresh("c"))
    token = client.list_collections(MaxResults=1)["NextToken"]
    assert client.list_collections(NextToken=token)["CollectionIds"]
    code, _ = refusal(client.list_stream_processors, NextToken=token)
    assert code == "InvalidPaginationTokenException"
