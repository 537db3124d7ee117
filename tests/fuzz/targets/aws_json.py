"""Bodies of Rekognition's requests: read and checked, or refused in AWS's words."""

from __future__ import annotations

import json
from collections.abc import Iterator

from streamd.protocol.aws_json import AwsJson
from streamd.protocol.errors import ServiceError
from tests.fuzz.requests import full_request
from tests.fuzz.target import holds

CODEC = AwsJson("rekognition")
NAMES = sorted(CODEC.service.operations)


def run(data: bytes) -> None:
    """The first byte picks the operation, the rest is the body."""
    operation = CODEC.service.operations[NAMES[data[0] % len(NAMES)]] if data else None
    if operation is None:
        return
    try:
        CODEC.parse(operation, data[1:])
    except ServiceError as error:
        answer = CODEC.error(error, request_id="r")
        assert 400 <= answer.status < 500, answer
        assert set(json.loads(answer.body)) == {"__type", "Code", "Logref", "Message"}
        holds(error.code in {"SerializationException", "InvalidParameterException"}, error.code)
    try:
        CODEC.operation_for(data.decode("latin-1"))
    except ServiceError as error:
        CODEC.error(error, request_id="r")


def seeds() -> Iterator[bytes]:
    """Yield a full request of every operation."""
    for index, name in enumerate(NAMES):
        request = full_request(CODEC.service, CODEC.service.operations[name].input_shape)
        yield bytes([index]) + json.dumps(request).encode()
