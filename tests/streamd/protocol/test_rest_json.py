"""Facts about REST-JSON, checked with botocore's own client side."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from streamd.protocol.errors import ConstraintError, SerializationError, ServiceError
from streamd.protocol.rest_json import RestJson
from streamd.protocol.serialize import Answer

SERVICES = ["kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media"]


def client_side(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def send(service: str, operation: str, **params: Any) -> dict[str, Any]:
    """Serialise with botocore, parse with ours."""
    model = client_side(service).operation_model(operation)
    request = create_serializer("rest-json").serialize_to_request(params, model)
    codec = RestJson(service)
    return codec.parse(codec.operation_at(request["url_path"]), request["body"])


def receive(service: str, operation: str, answer: Answer) -> Any:
    """Parse our answer with botocore."""
    shape = client_side(service).operation_model(operation).output_shape
    assert shape is not None
    return create_parser("rest-json").parse(
        {"status_code": answer.status, "headers": HeadersDict(answer.headers), "body": answer.body},
        shape,
    )


def test_requests_arrive_as_botocore_sent_them() -> None:
    """Members come through, timestamps as aware datetimes."""
    start = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert send("kinesisvideo", "CreateStream", StreamName="cam", Tags={"a": "b"}) == {
        "StreamName": "cam",
        "Tags": {"a": "b"},
    }
    assert send(
        "kinesis-video-media",
        "GetMedia",
        StreamName="cam",
        StartSelector={"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": start},
    ) == {
        "StreamName": "cam",
        "StartSelector": {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": start},
    }
    selector = {
        "FragmentSelectorType": "PRODUCER_TIMESTAMP",
        "TimestampRange": {"StartTimestamp": start, "EndTimestamp": start},
    }
    assert send(
        "kinesis-video-archived-media", "ListFragments", StreamName="cam", FragmentSelector=selector
    ) == {"StreamName": "cam", "FragmentSelector": selector}


def test_answers_are_read_by_botocore() -> None:
    """An output comes out of botocore's parser as it went in."""
    codec = RestJson("kinesisvideo")
    created = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    info = {"StreamName": "cam", "Status": "ACTIVE", "CreationTime": created}
    answer = codec.answer(
        codec.operation_at("/describeStream"), {"StreamInfo": info}, request_id="id-1"
    )
    parsed = receive("kinesisvideo", "DescribeStream", answer)
    assert parsed["StreamInfo"] == info
    assert parsed["ResponseMetadata"]["RequestId"] == "id-1"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ResourceNotFoundException", 404),
        ("NotAuthorizedException", 401),
        ("AccessDeniedException", 401),
        ("ResourceInUseException", 400),
        ("SerializationException", 400),
        ("InternalFailure", 500),
    ],
)
def test_errors_are_read_by_botocore(code: str, status: int) -> None:
    """Status, code and message of an error reach the client."""
    answer = RestJson("kinesisvideo").error(ServiceError(code, "no luck"), request_id="id-1")
    parsed = receive("kinesisvideo", "DescribeStream", answer)
    assert answer.status == status
    assert parsed["Error"]["Code"] == code
    assert parsed["Error"]["Message"] == "no luck"
    assert json.loads(answer.body) == {"Message": "no luck"}


def test_violations_are_invalid_arguments() -> None:
    """A broken constraint is Kinesis Video's InvalidArgumentException."""
    with pytest.raises(ConstraintError) as caught:
        send("kinesisvideo", "CreateStream", StreamName="a b")
    assert caught.value.code == "InvalidArgumentException"
    assert "at 'streamName'" in caught.value.message


def test_unknown_paths_and_bad_bodies() -> None:
    """A path without operation and a body that is no JSON are refused."""
    codec = RestJson("kinesisvideo")
    with pytest.raises(ServiceError, match="UnknownOperationException"):
        codec.operation_at("/noSuchThing")
    with pytest.raises(SerializationError):
        codec.parse(codec.operation_at("/createStream"), b"[1]")


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_reads_an_empty_body(service: str) -> None:
    """Every operation parses an empty body, or says which member is missing."""
    codec = RestJson(service)
    for operation in codec.service.operations.values():
        try:
            assert codec.parse(operation, b"") == {}
        except ConstraintError as error:
            assert "Member must not be null" in error.message  # noqa: PT017  # either way is fine
