"""Errors that reach a client, their AWS codes and their HTTP statuses.

::

    ServiceError               any AWS code
    ├── SerializationError     the body is not what the wire format allows
    └── ConstraintError        members outside the model's bounds; carries the violations
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamd.errors import StreamdError
from streamd.protocol.service import Service

__all__ = [
    "ConstraintError",
    "SerializationError",
    "ServiceError",
    "Violation",
    "http_status",
    "internal_error_code",
]

_COMMON_STATUSES = {
    # "Common Errors" of the AWS references, and what the front ends of AWS JSON services send.
    "InternalFailure": 500,
    "RequestTimeoutException": 408,
    "RequestEntityTooLargeException": 413,
    "ServiceUnavailable": 503,
}
_VALUE_MAX_CHARACTERS = 256


class ServiceError(StreamdError):
    """The answer to a client is an AWS error.

    Args:
        code: AWS's name of the error, such as ``ResourceInUseException``.
        message: Text for the client, in AWS's words where they are known.

    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SerializationError(ServiceError):
    """The body cannot be read as the operation's input."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One member that breaks one constraint of the model."""

    path: str
    """``regionsOfInterest.1.member.boundingBox``, as AWS spells it."""
    shape: str
    """Name of the member's shape."""
    rule: str
    """``required``, ``min``, ``max``, ``pattern`` or ``enum``."""
    value: str | None
    """The value as shown to the client; ``None`` where there is none."""
    constraint: str
    """``Member must not be null``."""

    def __str__(self) -> str:
        shown = "null" if self.value is None else f"'{_shortened(self.value)}'"
        return f"Value {shown} at '{self.path}' failed to satisfy constraint: {self.constraint}"


class ConstraintError(ServiceError):
    """Members of a request lie outside the model's constraints."""

    def __init__(self, code: str, violations: Sequence[Violation]) -> None:
        count = len(violations)
        noun = "error" if count == 1 else "errors"
        text = "; ".join(str(violation) for violation in violations)
        super().__init__(code, f"{count} validation {noun} detected: {text}")
        self.violations = tuple(violations)


def http_status(service: Service, code: str) -> int:
    """Return the HTTP status of an error: the model's, else the common one, else 400."""
    modelled = service.modelled_status(code)
    return modelled if modelled is not None else _COMMON_STATUSES.get(code, 400)


def internal_error_code(service: Service) -> str:
    """Return what the service calls a fault of its own."""
    modelled = "InternalServerError"
    return modelled if service.modelled_status(modelled) else "InternalFailure"


def _shortened(value: str) -> str:
    if len(value) <= _VALUE_MAX_CHARACTERS:
        return value
    return value[:_VALUE_MAX_CHARACTERS] + "..."
