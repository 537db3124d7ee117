"""One call of the console's own API on its way in and out: refusals, headers, counts.

Errors have the form of the Rekognition API, so that the page reads one kind. Nothing may be
cached: it is faces.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from streamd.access import OK, identity_of
from streamd.config import AwsSettings
from streamd.console.page import SECURITY_HEADERS
from streamd.errors import StreamdError
from streamd.metrics import Metrics
from streamd.protocol.aws_json import AwsJson
from streamd.protocol.errors import ServiceError
from streamd.protocol.sigv4 import names_this_machine, to_response
from streamd.store import NotFoundError

__all__ = ["Call", "Door"]

logger = logging.getLogger(__name__)

SERVICE: Final = "console"
_OWN_SITES: Final = frozenset({"same-origin", "none"})

Call = Callable[[web.Request, str], Awaitable[web.Response]]
"""(request, request id) -> answer."""


class Door:
    """Makes aiohttp handlers of calls."""

    def __init__(self, *, aws: AwsSettings, metrics: Metrics) -> None:
        self._aws = aws
        self._metrics = metrics
        self._codec = AwsJson("rekognition")

    def handler(self, name: str, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler of a call; ``name`` is for the metrics."""

        async def handle(request: web.Request) -> web.Response:
            request_id = str(uuid.uuid4())
            started = time.perf_counter()
            code = OK
            try:
                self._refuse_foreign_pages(request)
                response = await call(request, request_id)
            except Exception as caught:  # noqa: BLE001  # the wall of one call
                error = self._told(caught)
                code = error.code
                response = to_response(self._codec.error(error, request_id=request_id))
            self._metrics.api_requests.labels(SERVICE, name, code).inc()
            seconds = time.perf_counter() - started
            self._metrics.api_seconds.labels(SERVICE, name).observe(seconds)
            response.headers.update(SECURITY_HEADERS)
            response.headers["Cache-Control"] = "no-store"
            return response

        return handle

    def _refuse_foreign_pages(self, request: web.Request) -> None:
        """Let no other web page reach faces through a browser that may.

        Where nobody signs, a page can point a name of its own at this machine: then it is of the
        same origin, and only the name gives it away.
        """
        is_foreign = request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES
        is_unsigned = identity_of(request, self._aws).access_key_id is None
        if is_foreign or (is_unsigned and not names_this_machine(request.host)):
            raise ServiceError(
                "AccessDeniedException",
                "Where requests are not signed, the console is opened by the machine's IP "
                "address or as localhost, not by another name.",
            )

    def _told(self, error: Exception) -> ServiceError:
        match error:
            case ServiceError():
                return error
            case NotFoundError():
                return ServiceError("ResourceNotFoundException", f"The {error.kind} is not found.")
            case StreamdError():
                logger.error("the console was not answered: %s", error)
            case _:
                logger.error("the console was not answered", exc_info=error)
        return ServiceError("InternalServerError", "Internal server error")
