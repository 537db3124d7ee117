"""What one account sees of another's, nothing, and what a key may not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name

from tests.support.daemon import Daemon, running_daemon

ACCOUNTS = ("000000000000", "111122223333")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a key for each account."""
    keys: list[dict[str, object]] = [
        {"access_key_id": f"AKID{account}", "secret_access_key": account, "account_id": account}
        for account in ACCOUNTS
    ]
    keys.append(
        {
            "access_key_id": "AKIDREADER",
            "secret_access_key": "reader",
            "account_id": ACCOUNTS[0],
            "allow": ["rekognition:List*"],
        }
    )
    settings = {
        "STREAMD_AUTH__MODE": "sigv4",
        "STREAMD_AUTH__CREDENTIALS": json.dumps(keys),
        "STREAMD_SERVER__WORKERS": "1",
    }
    data_dir = tmp_path_factory.mktemp("accounts") / "data"
    with running_daemon(data_dir, settings) as running:
        yield running


def sign_as(daemon: Daemon, account: str) -> None:
    daemon.credentials = (f"AKID{account}", account)


def test_the_arns_of_another_account_lead_nowhere(daemon: Daemon) -> None:
    """What belongs to another account is not found, as if it did not exist."""
    arn = "arn:aws:rekognition:us-east-1:{}:streamprocessor/theirs"
    sign_as(daemon, ACCOUNTS[1])
    request: dict[str, Any] = {
        "Name": "theirs",
        "Input": {
            "KinesisVideoStream": {"Arn": "arn:aws:kinesisvideo:us-east-1:111122223333:stream/x/1"}
        },
        "Output": {"KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:111122223333:stream/x"}},
        "Settings": {"FaceSearch": {"CollectionId": "door"}},
        "RoleArn": "arn:aws:iam::111122223333:role/r",
        "Tags": {"secret": "yes"},
    }
    theirs = daemon.client("rekognition")
    assert theirs.create_stream_processor(**request)["StreamProcessorArn"] == arn.format(
        ACCOUNTS[1]
    )
    sign_as(daemon, ACCOUNTS[0])
    client = daemon.client("rekognition")
    assert client.list_stream_processors()["StreamProcessors"] == []
    for operation in ("describe", "start", "stop", "update", "delete"):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            getattr(client, f"{operation}_stream_processor")(Name="theirs")
    for account in ACCOUNTS:
        foreign = arn.format(account)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.list_tags_for_resource(ResourceArn=foreign)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.tag_resource(ResourceArn=foreign, Tags={"mine": "now"})
    tags = theirs.list_tags_for_resource(ResourceArn=arn.format(ACCOUNTS[1]))["Tags"]
    assert tags == {"secret": "yes"}


ARN = "arn:aws:rekognition:us-east-1:000000000000:streamprocessor/door"
DENIED: dict[str, tuple[str, dict[str, Any]]] = {
    "DescribeStreamProcessor": (ARN, {"Name": "door"}),
    "StartStreamProcessor": (ARN, {"Name": "door"}),
    "StopStreamProcessor": (ARN, {"Name": "door"}),
    "UpdateStreamProcessor": (ARN, {"Name": "door"}),
    "DeleteStreamProcessor": (ARN, {"Name": "door"}),
    "TagResource": (ARN, {"ResourceArn": ARN, "Tags": {"a": "1"}}),
    "UntagResource": (ARN, {"ResourceArn": ARN, "TagKeys": ["a"]}),
}


@pytest.mark.parametrize("operation", DENIED)
def test_a_key_that_may_not(daemon: Daemon, operation: str) -> None:
    """AccessDenied names who, what and which, and comes before anything else is looked at."""
    daemon.credentials = ("AKIDREADER", "reader")
    client = daemon.client("rekognition")
    arn, request = DENIED[operation]
    with pytest.raises(client.exceptions.AccessDeniedException) as caught:
        getattr(client, xform_name(operation))(**request)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["Error"]["Message"] == (
        f"User: arn:aws:iam::000000000000:user/AKIDREADER is not authorized to perform: "
        f"rekognition:{operation} on resource: {arn}"
    )
    assert client.list_stream_processors()["StreamProcessors"] == []
