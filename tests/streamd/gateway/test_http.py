"""What clients are told of errors, whatever went wrong inside."""

from __future__ import annotations

import logging

import pytest
from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.test_utils import make_mocked_request

from streamd.errors import StreamdError
from streamd.gateway.http import REQUEST_ID, endless_response, refusal_code, service_error
from streamd.protocol.errors import ServiceError
from streamd.protocol.rest_json import RestJson
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    StoreUnavailableError,
    VersionMismatchError,
)

VIDEO = RestJson("kinesisvideo")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("video stream", "door"), "ResourceNotFoundException"),
        (NameInUseError("video stream", "door"), "ResourceInUseException"),
        (LimitError("tags of a resource", 50), "TagsPerResourceExceededLimitException"),
        (LimitError("video streams", 5), "AccountStreamLimitExceededException"),
        (StoreUnavailableError("locked"), "ServiceUnavailable"),
        (ServiceError("InvalidArgumentException", "no"), "InvalidArgumentException"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_told_in_awss_terms(error: Exception, code: str) -> None:
    """Each error of the store has its code of Kinesis Video."""
    assert service_error(error, VIDEO).code == code


def test_a_stale_version_is_told() -> None:
    """UpdateStream with a version that is not the latest."""
    error = VersionMismatchError.__new__(VersionMismatchError)
    assert service_error(error, VIDEO).code == "VersionMismatchException"


@pytest.mark.parametrize("error", [StreamdError("hush"), RuntimeError("hush")], ids=["ours", "bug"])
def test_our_own_mistakes_are_logged_and_not_shown(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The client hears of an internal error; the details are the operator's."""
    with caplog.at_level(logging.ERROR):
        told = service_error(error, VIDEO)
    assert "hush" not in str(told.message)
    [record] = caplog.records
    assert "hush" in str(record.__dict__.get("error", "")) or record.exc_info is not None


def test_a_refusal_has_the_code_the_operation_knows() -> None:
    """NotAuthorizedException where the model lists it, and for PutMedia."""
    operations = VIDEO.service.operations
    assert refusal_code(None) == "NotAuthorizedException"
    assert refusal_code(operations["DeleteStream"]) == "NotAuthorizedException"
    others = [one for one in operations.values() if "NotAuthorizedException" not in one.errors]
    assert {refusal_code(one) for one in others} == {"AccessDeniedException"}


def test_an_endless_answer_is_chunked_where_http_knows_it() -> None:
    """With HTTP/1.0 the connection's end ends the body."""
    for version, is_chunked in ((HttpVersion11, True), (HttpVersion10, False)):
        request = make_mocked_request("POST", "/getMedia", version=version)
        response = endless_response(request, content_type="video/webm", request_id="r-1")
        assert response.chunked is is_chunked
        assert response.headers[REQUEST_ID] == "r-1"
