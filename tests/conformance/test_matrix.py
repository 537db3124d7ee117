"""The legality matrix of the reference, cell by cell, asked through HTTP.

A stream processor is held in a status by writing it into the daemon's database while nothing
runs for it, so that no worker moves it on; what a request does to it is then seen from outside.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.daemon import Daemon

IN_USE = "Specified resource is in use."
NOT_STOPPABLE = "Processor not available for stopping stream."
CANNOT_DELETE = "Cannot delete stream processor."
ROLE = "arn:aws:iam::000000000000:role/streamd"
INPUT = {"KinesisVideoStream": {"Arn": "arn:aws:kinesisvideo:us-east-1:000000000000:stream/no/1"}}
FACE: dict[str, Any] = {
    "Input": INPUT,
    "Output": {"KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/o"}},
    "Settings": {"FaceSearch": {"CollectionId": "people"}},
    "RoleArn": ROLE,
}
LABEL: dict[str, Any] = {
    "Input": INPUT,
    "Output": {"S3Destination": {"Bucket": "bucket"}},
    "NotificationChannel": {"SNSTopicArn": "arn:aws:sns:us-east-1:000000000000:topic"},
    "Settings": {"ConnectedHome": {"Labels": ["PERSON"]}},
    "RoleArn": ROLE,
}
START = {"StartSelector": {"KVSStreamStartSelector": {"ProducerTimestamp": 1}}}

# Status: what Start, Stop, Update and Delete answer; None where they are allowed.
MATRIX: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "STOPPED": (None, NOT_STOPPABLE, None, None),
    "STARTING": (IN_USE, None, IN_USE, None),
    "RUNNING": (IN_USE, None, IN_USE, CANNOT_DELETE),
    "STOPPING": (IN_USE, NOT_STOPPABLE, IN_USE, CANNOT_DELETE),
    "UPDATING": (IN_USE, NOT_STOPPABLE, IN_USE, CANNOT_DELETE),
    "FAILED": (None, NOT_STOPPABLE, None, None),
}
OPERATIONS = ("start", "stop", "update", "delete")
CELLS = [
    pytest.param(kind, status, operation, refusal, id=f"{kind}-{status}-{operation}")
    for kind in ("face", "label")
    for status, row in MATRIX.items()
    for operation, refusal in zip(OPERATIONS, row, strict=True)
    # Label sessions never enter RUNNING.
    if (kind, status) != ("label", "RUNNING")
]


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Any:
    """boto3 on the daemon."""
    return daemon.client("rekognition")


def held(client: Any, database: sqlite3.Connection, kind: str, status: str, name: str) -> str:
    """Create a stream processor and put it into a status; return its ARN."""
    base = FACE if kind == "face" else LABEL
    arn = client.create_stream_processor(Name=name, **base)["StreamProcessorArn"]
    message = "Collection not found" if status == "FAILED" else None
    database.execute(
        "UPDATE stream_processors SET status = ?, status_message = ?, version = version + 1"
        " WHERE name = ?",
        (status, message, name),
    )
    return str(arn)


def described(client: Any, name: str) -> dict[str, Any]:
    answer = client.describe_stream_processor(Name=name)
    del answer["ResponseMetadata"]
    return dict(answer)


def call(client: Any, operation: str, kind: str, name: str) -> Any:
    more = START if (kind, operation) == ("label", "start") else {}
    return getattr(client, f"{operation}_stream_processor")(Name=name, **more)


@pytest.mark.parametrize(("kind", "status", "operation", "refusal"), CELLS)
def test_a_cell_of_the_matrix(
    kind: str,
    status: str,
    operation: str,
    refusal: str | None,
    client: Any,
    database: sqlite3.Connection,
) -> None:
    """What a status does not allow is ResourceInUse in AWS's words and changes nothing."""
    name = f"{kind}-{status}-{operation}"
    held(client, database, kind, status, name)
    before = described(client, name)
    assert before["Status"] == status
    assert ("StatusMessage" in before) == (status == "FAILED")
    if refusal is None:
        call(client, operation, kind, name)
        after_allowed(client, operation, name, before)
        return
    with pytest.raises(client.exceptions.ResourceInUseException) as caught:
        call(client, operation, kind, name)
    assert caught.value.response["Error"] == {"Code": "ResourceInUseException", "Message": refusal}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert described(client, name) == before


def after_allowed(client: Any, operation: str, name: str, before: dict[str, Any]) -> None:
    """Check what an allowed operation has done; whatever a session does next may have happened."""
    if operation == "delete":
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_stream_processor(Name=name)
        return
    after = described(client, name)
    followers = {
        "start": {"STARTING", "RUNNING", "FAILED", "STOPPED"},
        "stop": {"STOPPING", "STOPPED"},
        "update": {"STOPPED"},
    }
    assert after["Status"] in followers[operation]
    assert after["LastUpdateTimestamp"] > before["LastUpdateTimestamp"]
    assert after["CreationTimestamp"] == before["CreationTimestamp"]


@pytest.mark.parametrize("status", MATRIX)
def test_every_status_may_be_looked_at_and_tagged(
    status: str, client: Any, database: sqlite3.Connection
) -> None:
    """Describe, List and the operations on tags ask for no status and move none."""
    name = f"seen-{status}"
    arn = held(client, database, "face", status, name)
    before = described(client, name)
    client.tag_resource(ResourceArn=arn, Tags={"a": "1", "b": "2"})
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"b": "2"}
    items = client.list_stream_processors()["StreamProcessors"]
    assert {"Name": name, "Status": status} in items
    assert described(client, name) == before


@pytest.mark.parametrize("operation", ["describe", *OPERATIONS])
def test_what_is_absent_is_not_found(operation: str, client: Any) -> None:
    """Every operation on a name nobody has is ResourceNotFoundException with status 400."""
    with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
        call(client, operation, "face", "absent")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["Error"]["Message"] == "Stream processor absent not found."


@pytest.mark.parametrize("operation", ["tag_resource", "untag_resource", "list_tags_for_resource"])
def test_tags_of_what_is_absent(operation: str, client: Any) -> None:
    """Tag operations on an ARN nobody has are ResourceNotFoundException."""
    arn = "arn:aws:rekognition:us-east-1:000000000000:streamprocessor/absent"
    params: dict[str, dict[str, Any]] = {
        "tag_resource": {"Tags": {"a": "1"}},
        "untag_resource": {"TagKeys": ["a"]},
    }
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(ResourceArn=arn, **params.get(operation, {}))
    assert caught.value.response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": f"Resource {arn} not found.",
    }
