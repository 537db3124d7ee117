"""Between aiohttp and the service descriptions: bodies in, answers and errors out."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import HttpVersion11, web

from streamd.access import CLIENT_GONE, OK, Access
from streamd.config import AwsSettings
from streamd.errors import StreamdError
from streamd.gateway.errors import ArchiveUnavailableError
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError, internal_error_code
from streamd.protocol.rest_json import RestJson
from streamd.protocol.serialize import Answer
from streamd.protocol.service import Operation
from streamd.protocol.sigv4 import read_body
from streamd.store import (
    LimitError,
    NameInUseError,
    NotFoundError,
    StoreUnavailableError,
    VersionMismatchError,
)

__all__ = [
    "REQUEST_ID",
    "Call",
    "Endpoint",
    "endless_response",
    "refusal_code",
    "service_error",
    "to_response",
]

logger = logging.getLogger(__name__)

REQUEST_ID: Final = "x-amzn-RequestId"
_SERVICE: Final = "kinesisvideo"

Call = Callable[
    [web.Request, Mapping[str, Any], str], Awaitable[Mapping[str, Any] | web.StreamResponse]
]
"""(request, input, request id) -> output members, or a response of its own."""


class Endpoint:
    """One operation of one service as an aiohttp handler."""

    def __init__(
        self,
        service: RestJson,
        operation: Operation,
        call: Call,
        *,
        metrics: Metrics,
        aws: AwsSettings,
    ) -> None:
        self._service = service
        self._operation = operation
        self._call = call
        self._metrics = metrics
        self._aws = aws

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Read, check, call, answer."""
        request_id = str(uuid.uuid4())
        started = time.perf_counter()
        code = OK
        access = Access(
            f"{_SERVICE}:{self._operation.name}", request, aws=self._aws, request_id=request_id
        )
        try:
            values = self._service.parse(self._operation, await read_body(request))
            access.authorize(values, refusal=refusal_code(self._operation))
            output = await self._call(request, values, request_id)
            if isinstance(output, web.StreamResponse):
                return output
            # Not of endless answers: how long they took says nothing about us.
            seconds = time.perf_counter() - started
            self._metrics.api_seconds.labels(_SERVICE, self._operation.name).observe(seconds)
            return to_response(self._service.answer(self._operation, output, request_id=request_id))
        except asyncio.CancelledError:
            code = CLIENT_GONE
            raise
        except Exception as caught:  # noqa: BLE001  # the wall of one operation
            error = service_error(caught, self._service)
            code = error.code
            return to_response(self._service.error(error, request_id=request_id))
        finally:
            self._metrics.api_requests.labels(_SERVICE, self._operation.name, code).inc()
            access.note(code)


def refusal_code(operation: Operation | None) -> str:
    """Return what an operation calls a caller without the right; ``None`` is PutMedia."""
    name = "NotAuthorizedException"
    return name if operation is None or name in operation.errors else "AccessDeniedException"


def service_error(error: Exception, service: RestJson) -> ServiceError:
    """Return what a client is told of an exception; what nobody foresaw is logged here."""
    match error:
        case ServiceError():
            return error
        case NotFoundError():
            return ServiceError(
                "ResourceNotFoundException",
                "The requested stream is not found or not active.",
            )
        case NameInUseError():
            return ServiceError(
                "ResourceInUseException", f"The stream {error.name} already exists."
            )
        case VersionMismatchError():
            return ServiceError(
                "VersionMismatchException",
                "The stream version that you specified is not the latest version.",
            )
        case LimitError() if "tags" in error.kind:
            return ServiceError(
                "TagsPerResourceExceededLimitException",
                f"A resource can have {error.limit} tags at most.",
            )
        case LimitError():
            return ServiceError(
                "AccountStreamLimitExceededException",
                f"The account can have {error.limit} streams at most.",
            )
        case StoreUnavailableError():
            logger.warning("the store does not answer", extra={"error": str(error)})
            return ServiceError("ServiceUnavailable", "The service is temporarily unavailable.")
        case ArchiveUnavailableError():
            logger.warning("the archive does not answer", extra={"error": str(error)})
            return ServiceError("ServiceUnavailable", "The service is temporarily unavailable.")
        case StreamdError():
            logger.error("operation failed", extra={"error": str(error)})
        case _:
            logger.error("operation broke", exc_info=error)
    return ServiceError(
        internal_error_code(service.service), "An internal error occurred; see the daemon's log."
    )


def endless_response(
    request: web.Request, *, content_type: str, request_id: str
) -> web.StreamResponse:
    """Return a response whose length nobody knows yet."""
    headers = {"Content-Type": content_type, REQUEST_ID: request_id}
    response = web.StreamResponse(headers=headers)
    if request.version >= HttpVersion11:  # before that, the connection's end ends the body
        response.enable_chunked_encoding()
    return response


def to_response(answer: Answer) -> web.Response:
    """Return aiohttp's form of an answer."""
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
