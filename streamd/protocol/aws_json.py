"""AWS JSON 1.1 as Rekognition speaks it: every operation is ``POST /``, named by a header.

Constraint violations are answered as ``InvalidParameterException``, with the text AWS's front
ends use. AWS itself sends an unmodelled ``ValidationException`` for some Rekognition
operations (its developer guide and public error reports disagree on which); the modelled code
is what ``client.exceptions`` offers and what the reference names for every operation served
here, and the text is the same.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from streamd.protocol.errors import (
    ConstraintError,
    SerializationError,
    ServiceError,
    http_status,
)
from streamd.protocol.parse import parse_json_object, parser_for
from streamd.protocol.serialize import Answer, serialize_output
from streamd.protocol.service import Operation, Service, load_service
from streamd.protocol.validate import violations

__all__ = ["TARGET_HEADER", "AwsJson"]

TARGET_HEADER = "X-Amz-Target"
CONTENT_TYPE = "application/x-amz-json-1.1"
CONSTRAINT_CODE = "InvalidParameterException"


class AwsJson:
    """The codec of one AWS JSON service.

    Args:
        service: The service, or its name, such as ``rekognition``.

    """

    def __init__(self, service: Service | str) -> None:
        self.service = load_service(service) if isinstance(service, str) else service

    def operation_for(self, target: str | None) -> Operation:
        """Return the operation a target header names: ``RekognitionService.ListCollections``.

        Raises:
            ServiceError: ``UnknownOperationException``.

        """
        prefix, dot, name = (target or "").partition(".")
        operation = self.service.operations.get(name)
        if operation is None or not dot or prefix != self.service.target_prefix:
            named = f"Unknown operation: {target[:128]}" if target else "No operation is named"
            raise ServiceError(
                "UnknownOperationException", f"{named} in the {TARGET_HEADER} header"
            )
        return operation

    def parse(self, operation: Operation, body: bytes) -> dict[str, Any]:
        """Return the operation's input: the model's members, checked against its constraints.

        Absent members are absent keys; blobs are bytes.

        Raises:
            SerializationError: If the body is not JSON or a member has the wrong JSON type.
            ConstraintError: ``InvalidParameterException`` if a member breaks a constraint.

        """
        value = parser_for(self.service, operation.input_shape)(parse_json_object(body))
        if not isinstance(value, dict):
            raise SerializationError("The request body is not a JSON object.")
        found = violations(self.service, operation.input_shape, value)
        if found:
            raise ConstraintError(CONSTRAINT_CODE, found)
        return value

    def answer(self, operation: Operation, output: Mapping[str, Any], *, request_id: str) -> Answer:
        """Return the answer for an output of the model's members (``{}`` for none)."""
        body = serialize_output(self.service, operation.output_shape, output)
        return Answer(headers=_headers(request_id), body=body)

    def error(self, error: ServiceError, *, request_id: str) -> Answer:
        """Return the answer for an error, in the form of the developer guide."""
        body = {
            "__type": error.code,
            "Code": error.code,
            "Logref": str(uuid.uuid4()),
            "Message": error.message,
        }
        return Answer(
            status=http_status(self.service, error.code),
            headers={**_headers(request_id), "x-amzn-ErrorType": error.code},
            body=json.dumps(body).encode(),
        )


def _headers(request_id: str) -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id}
