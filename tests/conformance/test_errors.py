"""Every documented error of the streaming operations, reached by calls a client could make."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.daemon import Daemon, running_daemon, wait_until
from tests.support.shapes import load_model

ROLE = "arn:aws:iam::000000000000:role/streamd"
TOPIC = {"SNSTopicArn": "arn:aws:sns:us-east-1:000000000000:topic"}
KINESIS = {"KinesisDataStream": {"Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/out"}}
BUCKET = {"S3Destination": {"Bucket": "bucket"}}
START = {
    "StartSelector": {"KVSStreamStartSelector": {"ProducerTimestamp": 1_700_000_000_000}},
    "StopSelector": {"MaxDurationInSeconds": 120},
}
NOWHERE = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/nowhere/1700000000000"
STREAMING = (
    *(
        f"{verb}StreamProcessor"
        for verb in ("Create", "Describe", "Start", "Stop", "Update", "Delete")
    ),
    "ListStreamProcessors",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
)
REACHED_HERE = {
    "InternalServerError",
    "InvalidPaginationTokenException",
    "InvalidParameterException",
    "LimitExceededException",
    "ResourceInUseException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
}
REACHED_WITH_KEYS = {"AccessDeniedException"}
"""Needs a key that may not do everything: ``test_accounts.py``."""
NEVER_SENT = {"ProvisionedThroughputExceededException", "ThrottlingException"}
"""AWS protects what many accounts share; here the machine is the operator's own, and a client that
asks more than it can answer waits."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with small quotas."""
    data_dir = tmp_path_factory.mktemp("errors") / "data"
    quotas = {"STREAM_PROCESSORS": "4", "FACE_SEARCH_SESSIONS": "1", "CONNECTED_HOME_SESSIONS": "1"}
    settings = {f"STREAMD_LIMITS__{name}": value for name, value in quotas.items()}
    with running_daemon(data_dir, {"STREAMD_SERVER__WORKERS": "1", **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def stream_arn(daemon: Daemon) -> str:
    """A video stream on which nothing arrives."""
    answer = daemon.client("kinesisvideo").create_stream(StreamName="quiet", DataRetentionInHours=1)
    return str(answer["StreamARN"])


@pytest.fixture
def client(daemon: Daemon, stream_arn: str) -> Iterator[Any]:
    """boto3, with a collection to search in; what a test leaves behind is removed."""
    assert stream_arn
    client = daemon.client("rekognition", parameter_validation=False)
    client.create_collection(CollectionId="people")
    yield client
    client.delete_collection(CollectionId="people")
    for item in client.list_stream_processors()["StreamProcessors"]:
        _remove(client, item["Name"])


def _remove(client: Any, name: str) -> None:
    def is_gone() -> bool:
        status = client.describe_stream_processor(Name=name)["Status"]
        # Between the look and the call a STARTING one may turn RUNNING: then look again.
        with contextlib.suppress(client.exceptions.ResourceInUseException):
            if status == "RUNNING":
                client.stop_stream_processor(Name=name)
            elif status != "STOPPING":
                client.delete_stream_processor(Name=name)
                return True
        return False

    wait_until(is_gone, what=f"{name} to be deleted")


def face(client: Any, name: str, stream: str, **changes: Any) -> str:
    """Create a face search and return its ARN."""
    request = {
        "Name": name,
        "Input": {"KinesisVideoStream": {"Arn": stream}},
        "Output": KINESIS,
        "Settings": {"FaceSearch": {"CollectionId": "people"}},
        "RoleArn": ROLE,
    }
    return str(client.create_stream_processor(**request | changes)["StreamProcessorArn"])


def label(client: Any, name: str, stream: str, **changes: Any) -> str:
    """Create a label detection and return its ARN."""
    settings = {"ConnectedHome": {"Labels": ["PERSON"]}}
    more = {"Output": BUCKET, "NotificationChannel": TOPIC, "Settings": settings}
    return face(client, name, stream, **more | changes)


def status(client: Any, name: str) -> str:
    return str(client.describe_stream_processor(Name=name)["Status"])


def refusal(call: Any, /, **params: Any) -> tuple[str, str]:
    """Return code and text of the error a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    is_fault = answer["Error"]["Code"] == "InternalServerError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == (500 if is_fault else 400)
    return answer["Error"]["Code"], answer["Error"]["Message"]


def test_no_documented_error_is_forgotten() -> None:
    """What the model lets the streaming operations answer is reached, or said never to be sent."""
    operations = load_model("rekognition").operations
    documented = {error["shape"] for name in STREAMING for error in operations[name]["errors"]}
    assert documented == REACHED_HERE | REACHED_WITH_KEYS | NEVER_SENT


def test_a_name_in_use(client: Any, stream_arn: str) -> None:
    """A second processor of a name is refused, be it the same in every detail."""
    face(client, "door", stream_arn)
    expected = ("ResourceInUseException", "Stream processor name already in use.")
    assert refusal(lambda: face(client, "door", stream_arn)) == expected
    assert refusal(lambda: label(client, "door", stream_arn)) == expected


def test_a_face_search_in_its_statuses(client: Any, stream_arn: str) -> None:
    """Each operation is refused in AWS's words where the status does not allow it."""
    face(client, "door", stream_arn)
    not_stoppable = ("ResourceInUseException", "Processor not available for stopping stream.")
    in_use = ("ResourceInUseException", "Specified resource is in use.")
    assert refusal(client.stop_stream_processor, Name="door") == not_stoppable
    client.start_stream_processor(Name="door")
    assert refusal(client.start_stream_processor, Name="door") == in_use
    wait_until(lambda: status(client, "door") == "RUNNING", what="door to run")
    assert refusal(client.start_stream_processor, Name="door") == in_use
    change = {"DataSharingPreferenceForUpdate": {"OptIn": True}}
    assert refusal(client.update_stream_processor, Name="door", **change) == in_use
    assert refusal(client.delete_stream_processor, Name="door") == (
        "ResourceInUseException",
        "Cannot delete stream processor.",
    )
    client.stop_stream_processor(Name="door")
    wait_until(lambda: status(client, "door") == "STOPPED", what="door to stop")
    assert refusal(client.stop_stream_processor, Name="door") == not_stoppable
    client.update_stream_processor(Name="door", **change)
    client.delete_stream_processor(Name="door")
    assert refusal(client.describe_stream_processor, Name="door") == (
        "ResourceNotFoundException",
        "Stream processor door not found.",
    )


def test_the_quota_of_stream_processors(client: Any, stream_arn: str, daemon: Daemon) -> None:
    """One too many is LimitExceeded with the limit; deleting one makes room."""
    for number in range(4):
        face(client, f"p{number}", stream_arn)
    assert refusal(lambda: face(client, "p4", stream_arn)) == (
        "LimitExceededException",
        "Stream processor limit exceeded for account, limit - 4.",
    )
    # The operator reads what to change; a name in use comes before the quota.
    assert "'limits.stream_processors' is 4 stream_processor=p4" in daemon.log()
    assert refusal(lambda: face(client, "p0", stream_arn))[0] == "ResourceInUseException"
    client.delete_stream_processor(Name="p0")
    face(client, "p4", stream_arn)


@pytest.mark.parametrize(
    ("create", "start", "setting"),
    [(face, {}, "face_search_sessions"), (label, START, "connected_home_sessions")],
    ids=["face", "label"],
)
def test_the_quota_of_running_sessions(
    create: Any,
    start: dict[str, Any],
    setting: str,
    client: Any,
    stream_arn: str,
    daemon: Daemon,
) -> None:
    """The one too many is refused, stays STOPPED, and starts once another has ended."""
    for name in ("first", "second"):
        create(client, name, stream_arn)
    client.start_stream_processor(Name="first", **start)
    assert refusal(client.start_stream_processor, Name="second", **start) == (
        "LimitExceededException",
        "Stream processor limit exceeded for account, limit - 1.",
    )
    assert f"'limits.{setting}' is 1 stream_processor=second" in daemon.log()
    assert status(client, "second") == "STOPPED"
    client.stop_stream_processor(Name="first")
    wait_until(lambda: status(client, "first") == "STOPPED", what="first to stop")
    client.start_stream_processor(Name="second", **start)


def test_the_kinds_have_quotas_of_their_own(client: Any, stream_arn: str) -> None:
    """A running face search leaves label detection its room."""
    face(client, "faces", stream_arn)
    label(client, "labels", stream_arn)
    client.start_stream_processor(Name="faces")
    client.start_stream_processor(Name="labels", **START)


def test_the_quota_of_tags(client: Any, stream_arn: str) -> None:
    """More than 50 tags are ServiceQuotaExceeded, at creation and after; none is added."""
    tags = {f"key {number}": "" for number in range(51)}
    expected = ("ServiceQuotaExceededException", "A resource can have at most 50 tags.")
    assert refusal(lambda: face(client, "door", stream_arn, Tags=tags)) == expected
    assert client.list_stream_processors()["StreamProcessors"] == []
    arn = face(client, "door", stream_arn, Tags={"a": "1"})
    del tags["key 50"]
    assert refusal(client.tag_resource, ResourceArn=arn, Tags=tags) == expected
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "1"}


@pytest.mark.parametrize("key", ["aws:x", "aws:", "<", "a\tb", ""], ids=repr)
def test_tag_keys_that_are_not_allowed(client: Any, stream_arn: str, key: str) -> None:
    """The prefix aws: and characters outside the pattern are InvalidParameter."""
    arn = face(client, "door", stream_arn)
    code, text = refusal(client.tag_resource, ResourceArn=arn, Tags={key: "1"})
    assert code == "InvalidParameterException"
    assert "at 'tags' failed to satisfy constraint: Map keys must satisfy" in text
    client.tag_resource(ResourceArn=arn, Tags={"AWS:x": "1", "Grüße /_.:=+-@": ""})


def test_a_token_nobody_gave(client: Any) -> None:
    """A made-up NextToken is InvalidPaginationToken."""
    assert refusal(client.list_stream_processors, NextToken="made-up") == (
        "InvalidPaginationTokenException",
        "Invalid Pagination Token",
    )


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"Settings": {}}, "Settings needs exactly one of FaceSearch and ConnectedHome."),
        (
            {
                "Settings": {
                    "FaceSearch": {"CollectionId": "a"},
                    "ConnectedHome": {"Labels": ["PET"]},
                }
            },
            "Settings needs exactly one of FaceSearch and ConnectedHome.",
        ),
        (
            {"Output": {}},
            "Output needs exactly one of KinesisDataStream and S3Destination.",
        ),
        ({"Input": {}}, "Input.KinesisVideoStream.Arn is required."),
        ({"Settings": {"FaceSearch": {}}}, "Settings.FaceSearch.CollectionId is required."),
        (
            {"Settings": {"ConnectedHome": {"Labels": ["DOG"]}}},
            "Labels can be PERSON, PET, PACKAGE, ALL, got 'DOG'.",
        ),
    ],
    ids=["no settings", "both settings", "no output", "no input", "no collection", "label"],
)
def test_members_that_do_not_go_together(
    client: Any, stream_arn: str, changes: dict[str, Any], detail: str
) -> None:
    """What the model allows and the service does not is InvalidParameter, and nothing is made."""
    assert refusal(lambda: face(client, "door", stream_arn, **changes)) == (
        "InvalidParameterException",
        f"Request has invalid parameters. {detail}",
    )
    assert client.list_stream_processors()["StreamProcessors"] == []


@pytest.mark.parametrize(
    ("changes", "arn", "message"),
    [
        ({}, NOWHERE, "Stream nowhere doesn't exist"),
        ({}, NOWHERE.rpartition("/")[0], "Stream nowhere doesn't exist"),
        (
            {"Settings": {"FaceSearch": {"CollectionId": "gone"}}},
            None,
            "Collection not found",
        ),
    ],
    ids=["no stream", "no stream, no creation time", "no collection"],
)
def test_what_is_missing_shows_after_the_start(
    client: Any, stream_arn: str, changes: dict[str, Any], arn: str | None, message: str
) -> None:
    """Start is answered all the same; then the status is FAILED with AWS's message."""
    face(client, "door", arn or stream_arn, **changes)
    assert client.start_stream_processor(Name="door")["SessionId"]
    wait_until(lambda: status(client, "door") == "FAILED", what="door to fail")
    described = client.describe_stream_processor(Name="door")
    assert described["StatusMessage"] == message
    assert described["Input"] == {"KinesisVideoStream": {"Arn": arn or stream_arn}}
    # It may be started again, which forgets the message until it fails again.
    client.start_stream_processor(Name="door")
    wait_until(lambda: status(client, "door") == "FAILED", what="door to fail again")


def test_a_stream_named_without_its_creation_time(client: Any, stream_arn: str) -> None:
    """An ARN without the creation time is echoed unchanged, and finds the stream."""
    short = stream_arn.rpartition("/")[0]
    face(client, "door", short)
    client.start_stream_processor(Name="door")
    wait_until(lambda: status(client, "door") == "RUNNING", what="door to run")
    described = client.describe_stream_processor(Name="door")
    assert described["Input"] == {"KinesisVideoStream": {"Arn": short}}
    assert "StatusMessage" not in described


def test_the_time_of_the_last_update(client: Any, stream_arn: str) -> None:
    """LastUpdateTimestamp moves with every change of the status, and with nothing else."""
    arn = face(client, "door", stream_arn)
    times = [client.describe_stream_processor(Name="door")["LastUpdateTimestamp"]]

    def note(wanted: str) -> None:
        wait_until(lambda: status(client, "door") == wanted, what=wanted)
        times.append(client.describe_stream_processor(Name="door")["LastUpdateTimestamp"])

    client.tag_resource(ResourceArn=arn, Tags={"a": "1"})
    note("STOPPED")
    assert times[0] == times[1]
    client.update_stream_processor(Name="door", RegionsOfInterestForUpdate=[])
    note("STOPPED")
    client.start_stream_processor(Name="door")
    note("RUNNING")
    client.stop_stream_processor(Name="door")
    note("STOPPED")
    assert times[1:] == sorted(set(times[1:]))


def test_a_starting_processor_may_be_deleted(client: Any, stream_arn: str) -> None:
    """A label session that goes on for minutes is STARTING; Delete ends it and frees its quota."""
    label(client, "door", stream_arn)
    client.start_stream_processor(Name="door", **START)
    assert status(client, "door") == "STARTING"
    client.delete_stream_processor(Name="door")
    assert client.list_stream_processors()["StreamProcessors"] == []
    label(client, "door", stream_arn)
    client.start_stream_processor(Name="door", **START)


def test_a_fault_of_our_own(client: Any, stream_arn: str, daemon: Daemon) -> None:
    """A store that cannot do its work is InternalServerError, 500, and tells no more than that."""
    arn = face(client, "door", stream_arn)
    path = daemon.data_dir / "streamd.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as database:
        database.execute("ALTER TABLE tags RENAME TO tags_away")
        try:
            expected = ("InternalServerError", "Internal server error")
            assert refusal(client.list_tags_for_resource, ResourceArn=arn) == expected
            assert refusal(client.tag_resource, ResourceArn=arn, Tags={"a": "1"}) == expected
        finally:
            database.execute("ALTER TABLE tags_away RENAME TO tags")
    client.tag_resource(ResourceArn=arn, Tags={"a": "1"})
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "1"}
