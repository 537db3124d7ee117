"""Facts about AWS JSON, checked with botocore's own client side for every operation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from streamd.protocol.aws_json import AwsJson
from streamd.protocol.errors import ConstraintError, ServiceError
from streamd.protocol.parse import parse_json_object, parser_for

MODEL = ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")
CODEC = AwsJson("rekognition")

_SAMPLES: dict[str, Any] = {
    "string": "sample",
    "integer": 3,
    "long": 3,
    "float": 1.5,
    "double": 1.5,
    "boolean": True,
    "blob": b"\x00\x01",
}
"""One value of each JSON type; constraints are not the matter here."""


def sample(shape: Any, depth: int = 0) -> Any:
    """A value with every member of a botocore shape."""
    if shape.type_name == "structure":
        return {name: sample(member, depth + 1) for name, member in shape.members.items()
                if depth < 6}  # fmt: skip
    if shape.type_name == "list":
        return [sample(shape.member, depth + 1)]
    if shape.type_name == "map":
        return {"key": sample(shape.value, depth + 1)}
    if shape.type_name == "timestamp":
        return 1574421649.774
    return _SAMPLES[shape.type_name]


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_every_operation_of_the_model_arrives(name: str) -> None:
    """What botocore sends with every member set is read back member for member."""
    operation_model = MODEL.operation_model(name)
    params = sample(operation_model.input_shape) if operation_model.input_shape else {}
    request = create_serializer("json", include_validation=False).serialize_to_request(
        params, operation_model
    )
    operation = CODEC.operation_for(request["headers"]["X-Amz-Target"])
    parsed = parser_for(CODEC.service, operation.input_shape)(parse_json_object(request["body"]))
    assert operation.name == name
    assert parsed == params


@pytest.mark.parametrize(
    "name", [n for n in MODEL.operation_names if MODEL.operation_model(n).output_shape]
)
def test_every_answer_of_the_model_is_read(name: str) -> None:
    """What we answer with every member set is read back by botocore member for member."""
    shape = MODEL.operation_model(name).output_shape
    assert shape is not None
    # Our parser turns the sample's wire form (timestamps) into values.
    raw = json.loads(json.dumps(sample(shape), default=lambda _blob: "AAE="))
    values = parser_for(CODEC.service, shape.name)(raw)
    answer = CODEC.answer(CODEC.service.operations[name], values, request_id="id")
    parsed = create_parser("json").parse(
        {"status_code": 200, "headers": HeadersDict(answer.headers), "body": answer.body}, shape
    )
    parsed.pop("ResponseMetadata")
    assert parsed == values


@pytest.mark.parametrize(
    "target",
    [None, "", "ListCollections", "RekognitionService.", "RekognitionService.NoSuch",
     "Other.ListCollections", "RekognitionService.ListCollections.x"],
)  # fmt: skip
def test_unknown_targets(target: str | None) -> None:
    """A target that names no operation is UnknownOperationException."""
    with pytest.raises(ServiceError) as caught:
        CODEC.operation_for(target)
    assert caught.value.code == "UnknownOperationException"


def test_violations_are_invalid_parameters() -> None:
    """A broken constraint is the modelled InvalidParameterException, with the text of AWS."""
    with pytest.raises(ConstraintError) as caught:
        CODEC.parse(CODEC.service.operations["DescribeCollection"], b'{"CollectionId": "a b"}')
    assert caught.value.code == "InvalidParameterException"
    assert caught.value.message == (
        "1 validation error detected: Value 'a b' at 'collectionId' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+"
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ResourceNotFoundException", 400),
        ("InternalServerError", 500),
        ("ThrottlingException", 500),
    ],
)
def test_the_error_body_is_the_developer_guides(code: str, status: int) -> None:
    """An error has __type, Code, Logref and Message, and its code in a header."""
    answer = CODEC.error(ServiceError(code, "no luck"), request_id="id-1")
    body = json.loads(answer.body)
    assert answer.status == status
    assert len(body.pop("Logref")) == 36
    assert body == {"__type": code, "Code": code, "Message": "no luck"}
    assert answer.headers == {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-RequestId": "id-1",
        "x-amzn-ErrorType": code,
    }
