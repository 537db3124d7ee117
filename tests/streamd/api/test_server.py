"""Facts about the endpoint itself: what every request meets."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from streamd.clock import SystemClock
from streamd.protocol.identity import KeyRing
from streamd.protocol.service import load_service
from streamd.protocol.sigv4 import Verifier
from streamd.store.errors import StoreUnavailableError
from tests.support.rekognition import (
    KEY_ID,
    MAX_BODY_BYTES,
    SECRET,
    Endpoint,
    open_endpoint,
)

SERVED = {
    "AssociateFaces", "CompareFaces", "CreateCollection", "CreateStreamProcessor", "CreateUser",
    "DeleteCollection", "DeleteFaces", "DeleteStreamProcessor", "DeleteUser",
    "DescribeCollection", "DescribeStreamProcessor", "DetectFaces", "DetectLabels",
    "DisassociateFaces", "IndexFaces", "ListCollections", "ListFaces", "ListStreamProcessors",
    "ListTagsForResource", "ListUsers", "SearchFaces", "SearchFacesByImage", "SearchUsers",
    "SearchUsersByImage", "StartStreamProcessor", "StopStreamProcessor", "TagResource",
    "UntagResource", "UpdateStreamProcessor",
}  # fmt: skip


def post(
    endpoint: Endpoint, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(endpoint.url).netloc, timeout=20)
    try:
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, json.loads(response.read())
    finally:
        connection.close()


def target(operation: str) -> dict[str, str]:
    return {"X-Amz-Target": f"RekognitionService.{operation}"}


def test_the_operations_served(endpoint: Endpoint) -> None:
    """These operations are served."""
    assert endpoint.api.operations == SERVED


@pytest.mark.parametrize("operation", sorted(set(load_service("rekognition").operations) - SERVED))
def test_operations_that_are_not_served(endpoint: Endpoint, operation: str) -> None:
    """Every other operation of the model answers a clear AWS error that names it."""
    status, headers, body = post(endpoint, b"{}", target(operation))
    assert status == 400
    assert headers["x-amzn-errortype"] == body["__type"] == "UnsupportedOperationException"
    assert body["Message"] == f"The operation {operation} is not supported by this endpoint."


def test_the_form_of_an_answer(endpoint: Endpoint) -> None:
    """An answer has the JSON type, a request id and a date, and does not say what we run."""
    status, headers, body = post(endpoint, b"", target("ListCollections"))
    assert status == 200
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert str(uuid.UUID(headers["x-amzn-requestid"])) == headers["x-amzn-requestid"]
    assert headers["date"]
    assert headers["server"] == "streamd"
    assert body == {"CollectionIds": [], "FaceModelVersions": []}


def test_the_form_of_an_error(endpoint: Endpoint) -> None:
    """An error has the developer guide's body."""
    status, headers, body = post(
        endpoint, b'{"CollectionId": "nobody"}', target("DescribeCollection")
    )
    assert status == 400
    assert headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert uuid.UUID(body.pop("Logref")).version == 4
    assert body == {
        "__type": "ResourceNotFoundException",
        "Code": "ResourceNotFoundException",
        "Message": "Collection:nobody not found!",
    }


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "UnknownOperationException"),
        (target("NoSuchThing"), "UnknownOperationException"),
        ({"X-Amz-Target": "ä".encode().decode("latin-1")}, "UnknownOperationException"),
    ],
    ids=["missing", "unknown", "odd"],
)
def test_targets_nobody_knows(endpoint: Endpoint, headers: dict[str, str], code: str) -> None:
    """A request that names no operation is told so."""
    status, _, body = post(endpoint, b"{}", headers)
    assert (status, body["__type"]) == (400, code)


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"{", b'{"MaxResults": NaN}', b'{"MaxResults": "1"}', b'{"MaxResults": true}',
     b"\xff", b"[" * 100_000],
    ids=["null", "list", "cut", "nan", "text", "bool", "bytes", "nested"],
)  # fmt: skip
def test_bodies_that_are_no_request(endpoint: Endpoint, body: bytes) -> None:
    """A body that is not the operation's JSON is a SerializationException."""
    status, _, answer = post(endpoint, body, target("ListCollections"))
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_newer_sdks_may_send_more(endpoint: Endpoint) -> None:
    """Unknown members are ignored and null is absent."""
    body = b'{"MaxResults": null, "Sparkle": {"x": 1}}'
    assert post(endpoint, body, target("ListCollections"))[0] == 200


def test_a_body_over_the_limit(endpoint: Endpoint) -> None:
    """A body that is too long is answered 413."""
    body = b" " * (MAX_BODY_BYTES + 1)
    status, _, answer = post(endpoint, body, target("ListCollections"))
    assert (status, answer["__type"]) == (413, "RequestEntityTooLargeException")


def test_a_client_that_leaves(endpoint: Endpoint) -> None:
    """A client that goes away in the middle of its body harms nobody."""
    parts = urlsplit(endpoint.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: RekognitionService.ListCollections\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
    assert endpoint.client.list_collections()["CollectionIds"] == []


def test_unforeseen_errors_stay_inside(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is InternalServerError with status 500; its traceback is in the log alone."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(endpoint.store, "list_collections", fail)
    with caplog.at_level(logging.ERROR):
        status, headers, body = post(endpoint, b"{}", target("ListCollections"))
    assert status == 500
    assert body["__type"] == "InternalServerError"
    assert body["Message"] == "Internal server error"
    assert "secret detail" not in json.dumps(body)
    [record] = [r for r in caplog.records if r.name == "streamd.api.server"]
    assert record.exc_info is not None
    assert record.__dict__["request_id"] == headers["x-amzn-requestid"]


def test_a_store_that_is_away(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database does not answer, clients get the 500 they try again after."""

    def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("database is locked")

    monkeypatch.setattr(endpoint.store, "collection", fail)
    with pytest.raises(endpoint.client.exceptions.InternalServerError):
        endpoint.client.describe_collection(CollectionId="a")


def test_requests_are_counted(tmp_path: Path) -> None:
    """Every request counts by operation and outcome, and its time is observed."""
    for endpoint in open_endpoint(tmp_path, load_analyzer=None):
        endpoint.client.list_collections()
        post(endpoint, b"{}", target("DetectText"))
        post(endpoint, b"{}", target("x" * 100))

        def count(operation: str, code: str, endpoint: Endpoint = endpoint) -> float | None:
            return endpoint.metrics.registry.get_sample_value(
                "streamd_api_requests_total",
                {"service": "rekognition", "operation": operation, "code": code},
            )

        assert count("ListCollections", "200") == 1
        assert count("DetectText", "UnsupportedOperationException") == 1
        assert count("unknown", "UnknownOperationException") == 1


def test_boto3_as_users_have_it(endpoint: Endpoint) -> None:
    """A client with every default of boto3 works with nothing but endpoint_url changed."""
    client = boto3.client(
        "rekognition",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(),
    )
    try:
        client.create_collection(CollectionId="defaults")
        with pytest.raises(client.exceptions.ResourceAlreadyExistsException):
            client.create_collection(CollectionId="defaults")
        client.delete_collection(CollectionId="defaults")
    finally:
        client.close()


def test_signatures_of_boto3(tmp_path: Path) -> None:
    """With a verifier, boto3 works with the right key, large bodies included, and no other."""
    verifier = Verifier(KeyRing.of({KEY_ID: SECRET}), region="us-east-1", clock=SystemClock())
    for endpoint in open_endpoint(tmp_path, load_analyzer=None, verifier=verifier):
        endpoint.client.create_collection(CollectionId="a")
        with pytest.raises(endpoint.client.exceptions.InvalidImageFormatException):
            endpoint.client.index_faces(CollectionId="a", Image={"Bytes": bytes(5_000_000)})
        for key, secret, code in (
            (KEY_ID, "guess", "InvalidSignatureException"),
            ("AKIDOTHER", SECRET, "UnrecognizedClientException"),
        ):
            stranger = boto3.client(
                "rekognition",
                endpoint_url=endpoint.url,
                region_name="us-east-1",
                aws_access_key_id=key,
                aws_secret_access_key=secret,
            )
            with pytest.raises(ClientError) as caught:
                stranger.list_collections()
            stranger.close()
            assert caught.value.response["Error"]["Code"] == code
