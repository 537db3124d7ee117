"""Bodies of Kinesis Video's requests: read and checked, or refused in AWS's words."""

from __future__ import annotations

import json
from collections.abc import Iterator

from streamd.protocol.errors import ServiceError
from streamd.protocol.rest_json import RestJson
from tests.fuzz.requests import full_request
from tests.fuzz.target import holds

SERVICES = ("kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media")
CODECS = [RestJson(name) for name in SERVICES]
OPERATIONS = [
    (codec, codec.service.operations[name])
    for codec in CODECS
    for name in sorted(codec.service.operations)
]


def run(data: bytes) -> None:
    """The first byte picks the operation, the rest is the body."""
    if not data:
        return
    codec, operation = OPERATIONS[data[0] % len(OPERATIONS)]
    try:
        codec.parse(operation, data[1:])
    except ServiceError as error:
        answer = codec.error(error, request_id="r")
        assert answer.status == 400, answer
        assert set(json.loads(answer.body)) == {"Message"}
        holds(error.code in {"SerializationException", "InvalidArgumentException"}, error.code)


def seeds() -> Iterator[bytes]:
    """Yield a full request of every operation."""
    for index, (codec, operation) in enumerate(OPERATIONS):
        request = full_request(codec.service, operation.input_shape)
        yield bytes([index]) + json.dumps(request).encode()
