"""Facts about the seven stream processor operations, seen through boto3."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

from processors.errors import PackFileError
from streamd.lifecycle import Event
from streamd.store.errors import LimitError
from tests.support.rekognition import ACCOUNT, Endpoint

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


GENERIC = "Request has invalid parameters. "
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


def test_the_life_of_a_face_search(endpoint: Endpoint) -> None:
    """STOPPED, STARTING, RUNNING, STOPPING, STOPPED; each conflict has its text."""
    client = endpoint.client
    name = create(client, FACE)
    in_use = ("ResourceInUseException", "Specified resource is in use.")
    not_stoppable = (
        "ResourceInUseException",
        "Processor not available for stopping stream.",
    )

    def status() -> str:
        return str(client.describe_stream_processor(Name=name)["Status"])

    assert refusal(client.stop_stream_processor, Name=name) == not_stoppable
    session = client.start_stream_processor(Name=name)["SessionId"]
    assert len(session) == 36
    assert status() == "STARTING"
    assert refusal(client.start_stream_processor, Name=name) == in_use
    assert refusal(client.update_stream_processor, Name=name) == in_use
    endpoint.bring_to_running(name)
    assert status() == "RUNNING"
    assert refusal(client.delete_stream_processor, Name=name) == (
        "ResourceInUseException",
        "Cannot delete stream processor.",
    )
    assert client.stop_stream_processor(Name=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert status() == "STOPPING"
    assert refusal(client.stop_stream_processor, Name=name) == not_stoppable
    endpoint.end_session(name)
    assert status() == "STOPPED"
    client.delete_stream_processor(Name=name)
    assert refusal(client.describe_stream_processor, Name=name)[0] == "ResourceNotFoundException"


def test_a_failed_processor_tells_why_and_starts_again(endpoint: Endpoint) -> None:
    """FAILED carries a StatusMessage, can be started and deleted."""
    client = endpoint.client
    name = create(client, FACE)
    client.start_stream_processor(Name=name)
    endpoint.end_session(name, failure="Collection not found")
    described = client.describe_stream_processor(Name=name)
    assert described["Status"] == "FAILED"
    assert described["StatusMessage"] == "Collection not found"
    client.start_stream_processor(Name=name)
    assert client.describe_stream_processor(Name=name)["Status"] == "STARTING"
    # "stuck in STARTING" may be deleted
    client.delete_stream_processor(Name=name)


def test_a_label_session_is_started_with_selectors(endpoint: Endpoint) -> None:
    """The selectors reach the session; the duration is 10 seconds by default."""
    client = endpoint.client
    name = create(client, LABEL)
    client.start_stream_processor(Name=name, **START)
    session = endpoint.store.session(ACCOUNT, name)
    assert session is not None
    assert session.start.producer_timestamp_ms == 1655930623123
    assert session.start.max_duration_seconds == 5
    endpoint.end_session(name)
    by_fragment = {"KVSStreamStartSelector": {"FragmentNumber": "123"}}
    client.start_stream_processor(Name=name, StartSelector=by_fragment)
    session = endpoint.store.session(ACCOUNT, name)
    assert session is not None
    assert session.start.fragment_number == "123"
    assert session.start.max_duration_seconds == 10
    client.stop_stream_processor(Name=name)
    endpoint.end_session(name)


SELECTOR = (
    GENERIC + "Label detection needs a StartSelector with exactly one of ProducerTimestamp and "
    "FragmentNumber."
)


@pytest.mark.parametrize(
    ("base", "params", "message"),
    [
        (LABEL, {}, SELECTOR),
        (LABEL, {"StartSelector": {}}, SELECTOR),
        (LABEL, {"StartSelector": {"KVSStreamStartSelector": {}}}, SELECTOR),
        (
            LABEL,
            {
                "StartSelector": {
                    "KVSStreamStartSelector": {"ProducerTimestamp": 1, "FragmentNumber": "1"}
                }
            },
            SELECTOR,
        ),
        (FACE, START, GENERIC + "StartSelector can not be used for face search."),
        (
            FACE,
            {"StopSelector": START["StopSelector"]},
            GENERIC + "StopSelector can not be used for face search.",
        ),
        (
            LABEL,
            {**START, "StopSelector": {"MaxDurationInSeconds": 121}},
            "1 validation error detected: Value '121' at 'stopSelector.maxDurationInSeconds' "
            "failed to satisfy constraint: Member must have value less than or equal to 120",
        ),
    ],
    ids=["none", "empty", "no choice", "both", "face start", "face stop", "too long"],
)
def test_selectors_that_are_refused(
    client: Any, base: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    """Selectors are label detection's, with exactly one start."""
    name = create(client, base)
    assert refusal(client.start_stream_processor, Name=name, **params) == (
        "InvalidParameterException",
        message,
    )
    assert client.describe_stream_processor(Name=name)["Status"] == "STOPPED"


def test_labels_nobody_can_tell_are_refused_at_start(endpoint: Endpoint) -> None:
    """Start fails where the loaded models cannot tell a label, and says what to do."""
    name = create(endpoint.client, LABEL)
    endpoint.missing_labels["ALL"] = "PACKAGE needs a pack; run: streamd models pull x"
    try:
        assert refusal(endpoint.client.start_stream_processor, Name=name, **START) == (
            "InvalidParameterException",
            GENERIC + "PACKAGE needs a pack; run: streamd models pull x",
        )
    finally:
        endpoint.missing_labels.clear()


def test_ten_face_searches_run_at_once(endpoint: Endpoint) -> None:
    """The eleventh face search is refused with the limit."""
    client = endpoint.client
    names = [create(client, FACE) for _ in range(11)]
    running = names[:10]
    for name in running:
        client.start_stream_processor(Name=name)
    try:
        assert refusal(client.start_stream_processor, Name=names[10]) == (
            "LimitExceededException",
            "Stream processor limit exceeded for account, limit - 10.",
        )
        assert client.describe_stream_processor(Name=names[10])["Status"] == "STOPPED"
    finally:
        for name in running:
            client.delete_stream_processor(Name=name)


def test_update_changes_label_settings(client: Any) -> None:
    """Labels, confidence, regions and sharing change; the rest stays."""
    name = create(client, LABEL)
    client.update_stream_processor(
        Name=name,
        SettingsForUpdate={"ConnectedHomeForUpdate": {"Labels": ["PET"], "MinConfidence": 77.5}},
        RegionsOfInterestForUpdate=[TRIANGLE],
        DataSharingPreferenceForUpdate={"OptIn": True},
    )
    described = client.describe_stream_processor(Name=name)
    assert described["Status"] == "STOPPED"
    assert described["Settings"] == {"ConnectedHome": {"Labels": ["PET"], "MinConfidence": 77.5}}
    assert described["RegionsOfInterest"] == [TRIANGLE]
    assert described["DataSharingPreference"] == {"OptIn": True}
    client.update_stream_processor(
        Name=name, ParametersToDelete=["ConnectedHomeMinConfidence", "RegionsOfInterest"]
    )
    described = client.describe_stream_processor(Name=name)
    assert described["Settings"] == {"ConnectedHome": {"Labels": ["PET"], "MinConfidence": 50.0}}
    assert "RegionsOfInterest" not in described


def test_regions_of_a_face_search_can_be_updated(client: Any) -> None:
    """Regions are not label detection's alone."""
    name = create(client, FACE)
    client.update_stream_processor(Name=name, RegionsOfInterestForUpdate=[BOX])
    assert client.describe_stream_processor(Name=name)["RegionsOfInterest"] == [BOX]


@pytest.mark.parametrize(
    ("base", "params", "message"),
    [
        (
            FACE,
            {"SettingsForUpdate": {"ConnectedHomeForUpdate": {"MinConfidence": 1}}},
            GENERIC + "The settings of a face search can not be updated.",
        ),
        (
            FACE,
            {"SettingsForUpdate": {"ConnectedHomeForUpdate": {}}},
            GENERIC + "The settings of a face search can not be updated.",
        ),
        (
            FACE,
            {"ParametersToDelete": ["ConnectedHomeMinConfidence"]},
            GENERIC + "The settings of a face search can not be updated.",
        ),
        (
            LABEL,
            {
                "SettingsForUpdate": {"ConnectedHomeForUpdate": {"MinConfidence": 1}},
                "ParametersToDelete": ["ConnectedHomeMinConfidence"],
            },
            GENERIC + "MinConfidence can not be both updated and deleted.",
        ),
        (
            LABEL,
            {
                "RegionsOfInterestForUpdate": [BOX],
                "ParametersToDelete": ["RegionsOfInterest"],
            },
            GENERIC + "RegionsOfInterest can not be both updated and deleted.",
        ),
        (
            LABEL,
            {"SettingsForUpdate": {"ConnectedHomeForUpdate": {"Labels": ["DOG"]}}},
            GENERIC + "Labels can be PERSON, PET, PACKAGE, ALL, got 'DOG'.",
        ),
        (
            LABEL,
            {"ParametersToDelete": ["Name"]},
            "1 validation error detected: Value '[Name]' at 'parametersToDelete' failed to "
            "satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value "
            "set: [ConnectedHomeMinConfidence, RegionsOfInterest]]",
        ),
    ],
    ids=["face", "face empty", "face delete", "confidence", "regions", "label", "parameter"],
)
def test_updates_that_are_refused(
    client: Any, base: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    """An update that does not fit is refused and changes nothing."""
    name = create(client, base)
    before = client.describe_stream_processor(Name=name)
    assert refusal(client.update_stream_processor, Name=name, **params) == (
        "InvalidParameterException",
        message,
    )
    after = client.describe_stream_processor(Name=name)
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert after == before


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


def test_stopping_is_seen_by_the_worker(endpoint: Endpoint) -> None:
    """Stop reaches the session that is to end."""
    name = create(endpoint.client, FACE)
    endpoint.client.start_stream_processor(Name=name)
    endpoint.client.stop_stream_processor(Name=name)
    session = endpoint.store.session(ACCOUNT, name)
    assert session is not None
    assert session.stop_requested
    assert endpoint.store.transition(ACCOUNT, name, Event.SESSION_ENDED)[1] is not None


def test_a_label_pack_that_cannot_be_loaded(endpoint: Endpoint) -> None:
    """Start with a damaged label pack is an answer that says so, not a server fault."""
    name = create(endpoint.client, LABEL)
    endpoint.model_errors.append(
        PackFileError("nanodet", ["a.onnx"], "damaged", advice="streamd models pull nanodet")
    )
    try:
        code, message = refusal(endpoint.client.start_stream_processor, Name=name, **START)
    finally:
        endpoint.model_errors.clear()
    assert code == "ResourceNotReadyException"
    assert message.endswith("damaged: a.onnx; run: streamd models pull nanodet")
