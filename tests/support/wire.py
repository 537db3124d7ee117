"""Requests as bytes on one connection, for what no SDK would send."""

from __future__ import annotations

import http.client
import json
import uuid
from dataclasses import dataclass
from typing import Any

from tests.support.shapes import load_model, problems

__all__ = ["Reply", "Wire", "check_answer", "check_error", "check_headers"]

_TIMEOUT_SECONDS = 20.0
_SHARED_WITH_INPUT = {".Tags: at least 1, got {}"}
"""ListTagsForStream answers with TagStream's input shape, which must not be empty. A stream without
tags has an empty map all the same: programs read the member without asking whether it is there."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code as an SDK reads it."""
        return self.headers.get("x-amzn-errortype", "")

    @property
    def message(self) -> str:
        """The error's text."""
        return str(self.document["Message"])


class Wire:
    """One kept connection to a daemon, opened again when it was closed."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        """Send a request and read the answer whole."""
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        data = answer.read()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(status=answer.status, headers=names, body=data)

    def call(self, service: str, operation: str, request: Any) -> Reply:
        """Send a document, or bytes, as the operation's request."""
        # NaN and Infinity go out as Python spells them: that is what some clients send.
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        model = load_model(service)
        path = model.operations[operation]["http"]["requestUri"]
        if model.target_prefix is None:
            return self.send("POST", path, body, {"Content-Type": "application/json"})
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{model.target_prefix}.{operation}",
        }
        return self.send("POST", path, body, headers)


def check_headers(reply: Reply, content_type: str) -> None:
    """Hold an answer's headers to what every answer has."""
    assert reply.headers["content-type"] == content_type
    assert str(uuid.UUID(reply.headers["x-amzn-requestid"])) == reply.headers["x-amzn-requestid"]
    assert reply.headers["date"].endswith("GMT")


def check_answer(service: str, operation: str, reply: Reply) -> Any:
    """Hold an answer to the operation's output shape and return its document."""
    assert reply.status == 200, (operation, reply.status, reply.body)
    model = load_model(service)
    is_json = model.target_prefix is not None
    check_headers(reply, "application/x-amz-json-1.1" if is_json else "application/json")
    document = reply.document
    found = problems(model, model.output_shape(operation), document)
    assert [text for text in found if text not in _SHARED_WITH_INPUT] == [], operation
    return document


def check_error(service: str, reply: Reply, *, code: str, status: int = 400) -> str:
    """Hold an answer to the form of the service's errors and return its text."""
    assert (reply.status, reply.code) == (status, code), reply.body
    document = reply.document
    if load_model(service).target_prefix is not None:
        check_headers(reply, "application/x-amz-json-1.1")
        assert set(document) == {"__type", "Code", "Logref", "Message"}
        assert (document["__type"], document["Code"]) == (code, code)
        assert str(uuid.UUID(document["Logref"])) == document["Logref"]
    else:
        check_headers(reply, "application/json")
        assert set(document) == {"Message"}
    assert document["Message"]
    return str(document["Message"])
