"""HTTP as it is and as nobody should send it: methods, targets, content types, bodies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.daemon import Daemon
from tests.support.served import REKOGNITION, served_operations
from tests.support.shapes import load_model
from tests.support.wire import Wire, check_answer, check_error

CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET = "RekognitionService.ListStreamProcessors"
HEADERS = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": TARGET}


@pytest.fixture
def fresh_wire(daemon: Daemon) -> Iterator[Wire]:
    """A connection of the test's own, which the daemon may close."""
    with closing(Wire(daemon.port)) as connection:
        yield connection


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/createStream", "/putMedia", "/nowhere", "//"])
def test_methods_and_paths_of_no_operation(wire: Wire, method: str, path: str) -> None:
    """They are UnknownOperationException with status 404, in the service's form."""
    reply = wire.send(method, path, b"", HEADERS)
    service = REKOGNITION if path == "/" else "kinesisvideo"
    check_error(service, reply, code="UnknownOperationException", status=404)
    assert reply.headers["server"] == "streamd"


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "ListStreamProcessors",
        "RekognitionService.",
        "RekognitionService.Nothing",
        "rekognitionservice.ListStreamProcessors",
        "RekognitionService.listStreamProcessors",
        "DynamoDB_20120810.ListTables",
        "RekognitionService.ListStreamProcessors.",
    ],
)
def test_targets_of_no_operation(wire: Wire, target: str | None) -> None:
    """A target that is missing, unknown or another service's is UnknownOperationException."""
    headers = {"Content-Type": CONTENT_TYPE} | ({} if target is None else {"X-Amz-Target": target})
    check_error(
        REKOGNITION, wire.send("POST", "/", b"{}", headers), code="UnknownOperationException"
    )


_SERVED = {name for service, name in served_operations() if service == REKOGNITION}


@pytest.mark.parametrize("operation", sorted(set(load_model(REKOGNITION).operations) - _SERVED))
def test_operations_that_are_not_served(wire: Wire, operation: str) -> None:
    """An operation of the model that is not served says so before it looks at the request."""
    message = check_error(
        REKOGNITION,
        wire.call(REKOGNITION, operation, b"not JSON"),
        code="UnsupportedOperationException",
    )
    assert message == f"The operation {operation} is not supported by this endpoint."


@pytest.mark.parametrize(
    "content_type",
    [
        CONTENT_TYPE,
        "application/x-amz-json-1.1; charset=utf-8",
        "application/x-amz-json-1.0",
        "application/json",
        "text/plain",
        None,
    ],
)
def test_content_types(wire: Wire, content_type: str | None) -> None:
    """The body is JSON whatever the header says; the answer is always AWS JSON 1.1."""
    headers = {"X-Amz-Target": TARGET}
    if content_type is not None:
        headers["Content-Type"] = content_type
    check_answer(REKOGNITION, "ListStreamProcessors", wire.send("POST", "/", b"{}", headers))


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"{}", b' {"MaxResults" : 1 } \n'], ids=repr)
def test_bodies_that_are_an_object(wire: Wire, body: bytes) -> None:
    """An empty body stands for an empty object; white space means nothing."""
    check_answer(REKOGNITION, "ListStreamProcessors", wire.send("POST", "/", body, HEADERS))


_NO_OBJECT = {
    "null": b"null",
    "list": b"[]",
    "string": b'"x"',
    "number": b"1",
    "open": b"{",
    "two": b"{}{}",
    "tail": b'{"MaxResults":1}x',
    "single quotes": b"{'MaxResults':1}",
    "comment": b"{/**/}",
    "not UTF-8": b'{"NextToken":"\xff"}',
    "UTF-16": '{"MaxResults":1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "long number": b'{"MaxResults":' + b"9" * 5_000 + b"}",
    "surrogate": b'{"NextToken":"\\ud800"}',
    "gzip": gzip.compress(b'{"MaxResults":1}'),
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("body", _NO_OBJECT.values(), ids=_NO_OBJECT.keys())
@pytest.mark.parametrize(
    ("service", "operation"),
    [(REKOGNITION, "ListStreamProcessors"), ("kinesisvideo", "ListStreams")],
)
def test_bodies_that_are_no_object(wire: Wire, service: str, operation: str, body: bytes) -> None:
    """What is not one JSON object in UTF-8 is SerializationException."""
    check_error(service, wire.call(service, operation, body), code="SerializationException")


def test_the_last_of_two_members_counts(wire: Wire) -> None:
    """A member that comes twice is what it was last, as JSON readers have it."""
    body = b'{"MaxResults":0,"MaxResults":1}'
    check_answer(REKOGNITION, "ListStreamProcessors", wire.send("POST", "/", body, HEADERS))
    reply = wire.send("POST", "/", b'{"MaxResults":1,"MaxResults":0}', HEADERS)
    check_error(REKOGNITION, reply, code="InvalidParameterException")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "nonsense"])
def test_a_content_encoding_is_not_looked_at(wire: Wire, encoding: str) -> None:
    """Bodies are taken as they came, so no small body can become a large one."""
    headers = HEADERS | {"Content-Encoding": encoding}
    check_answer(REKOGNITION, "ListStreamProcessors", wire.send("POST", "/", b"{}", headers))
    bomb = gzip.compress(bytes(1_000_000))
    check_error(REKOGNITION, wire.send("POST", "/", bomb, headers), code="SerializationException")


@pytest.mark.parametrize(
    ("service", "path"), [(REKOGNITION, "/"), ("kinesisvideo", "/listStreams")]
)
def test_a_body_that_is_too_long(fresh_wire: Wire, service: str, path: str) -> None:
    """More than the limit of the settings, 16 MiB, is refused with 413."""
    body = json.dumps({"NextToken": "x" * (16 * 1024 * 1024)}).encode()
    reply = fresh_wire.send("POST", path, body, HEADERS)
    check_error(service, reply, code="RequestEntityTooLargeException", status=413)


def test_every_answer_has_an_id_of_its_own(wire: Wire) -> None:
    """No two answers share x-amzn-RequestId, and no two errors share Logref."""
    replies = [wire.send("POST", "/", body, HEADERS) for body in (b"{}", b"{", b"{}", b"{")]
    assert len({reply.headers["x-amzn-requestid"] for reply in replies}) == len(replies)
    assert replies[1].document["Logref"] != replies[3].document["Logref"]


def test_nothing_of_it_was_unforeseen(daemon: Daemon) -> None:
    """After all of it the daemon serves, and no request ended in a traceback."""
    assert daemon.get("/readyz")[0] == 200
    assert "Traceback" not in daemon.log()
