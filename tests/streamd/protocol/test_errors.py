"""Facts about error texts and statuses."""

from __future__ import annotations

import pytest

from streamd.protocol.errors import (
    ConstraintError,
    ServiceError,
    Violation,
    http_status,
    internal_error_code,
)
from streamd.protocol.service import load_service


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("rekognition", "ResourceInUseException", 400),
        ("rekognition", "InternalServerError", 500),
        ("rekognition", "UnknownOperationException", 400),
        ("rekognition", "RequestEntityTooLargeException", 413),
        ("kinesisvideo", "ResourceNotFoundException", 404),
        ("kinesisvideo", "InternalFailure", 500),
    ],
)
def test_http_status(service: str, code: str, status: int) -> None:
    """The status is the model's, else the common one, else 400."""
    assert http_status(load_service(service), code) == status


@pytest.mark.parametrize(
    ("service", "code"),
    [("rekognition", "InternalServerError"), ("kinesisvideo", "InternalFailure")],
)
def test_internal_error_code(service: str, code: str) -> None:
    """A fault of ours has the name the service's model gives it."""
    assert internal_error_code(load_service(service)) == code


def test_several_violations_make_one_message() -> None:
    """Violations are counted and joined as AWS's front ends do; long values are cut."""
    error = ConstraintError(
        "InvalidParameterException",
        [
            Violation(
                path="name", shape="S", rule="required", value=None, constraint="Member must be"
            ),
            Violation(path="a.b", shape="S", rule="max", value="x" * 300, constraint="C"),
        ],
    )
    assert error.message == (
        "2 validation errors detected: Value null at 'name' failed to satisfy constraint: "
        f"Member must be; Value '{'x' * 256}...' at 'a.b' failed to satisfy constraint: C"
    )


def test_a_service_error_shows_code_and_message() -> None:
    """The text of a service error, for logs, is its code and message."""
    assert str(ServiceError("SomeException", "no luck")) == "SomeException: no luck"
