"""REST-JSON as the Kinesis Video services speak it: a path an operation, a JSON body.

Errors carry their code in ``x-amzn-ErrorType`` and ``{"Message": …}`` in the body; statuses
are the model's: 400, 401 for NotAuthorized and AccessDenied, 404 for ResourceNotFound.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamd.protocol.errors import ConstraintError, ServiceError, http_status
from streamd.protocol.parse import parse_json_object, parser_for
from streamd.protocol.serialize import Answer, serialize_output
from streamd.protocol.service import Operation, Service, load_service
from streamd.protocol.validate import violations

__all__ = ["RestJson"]

CONTENT_TYPE = "application/json"


class RestJson:
    """The codec of one REST-JSON service.

    Args:
        service: The service, or its name: ``kinesisvideo``, ``kinesis-video-media`` or
            ``kinesis-video-archived-media``.

    """

    def __init__(self, service: Service | str) -> None:
        self.service = load_service(service) if isinstance(service, str) else service

    def operation_at(self, path: str) -> Operation:
        """Return the operation of a path such as ``/createStream``.

        Raises:
            ServiceError: ``UnknownOperationException`` if the service has no such path.

        """
        operation = self.service.by_path.get(path)
        if operation is None:
            raise ServiceError("UnknownOperationException", f"Unknown operation: {path}")
        return operation

    def parse(self, operation: Operation, body: bytes) -> dict[str, Any]:
        """Return the operation's input: the model's members, checked against its constraints.

        Timestamps are aware datetimes. Absent members are absent keys.

        Raises:
            SerializationError: If the body is not JSON or a member has the wrong JSON type.
            ConstraintError: ``InvalidArgumentException`` if a member breaks a constraint.

        """
        value = parser_for(self.service, operation.input_shape)(parse_json_object(body))
        found = violations(self.service, operation.input_shape, value)
        if found:
            raise ConstraintError("InvalidArgumentException", found)
        return value  # type: ignore[no-any-return]  # an operation's input is a structure

    def answer(self, operation: Operation, output: Mapping[str, Any], *, request_id: str) -> Answer:
        """Return the answer for an output of the model's members (``{}`` for none)."""
        body = serialize_output(self.service, operation.output_shape, output)
        return Answer(headers=_headers(request_id), body=body)

    def error(self, error: ServiceError, *, request_id: str) -> Answer:
        """Return the answer for an error."""
        return Answer(
            status=http_status(self.service, error.code),
            headers={
                **_headers(request_id),
                "x-amzn-ErrorType": error.code,
                # As the developer guide of Kinesis Video spells them.
                "x-amz-ErrorType": error.code,
                "x-amz-RequestId": request_id,
            },
            body=json.dumps({"Message": error.message}).encode(),
        )


def _headers(request_id: str) -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id}
