"""What holds for every path: requests that reach no operation, and the server's name.

aiohttp would answer them in plain text, which SDKs cannot read, and tell its own version.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from streamd.protocol.aws_json import AwsJson
from streamd.protocol.errors import ServiceError
from streamd.protocol.rest_json import RestJson

__all__ = ["SERVER", "name_server", "refuse_unknown_paths"]

SERVER = "streamd"
"""The Server header of every answer."""

_STATUS = 404
"""AWS's front ends: a path or method that belongs to no operation. (400: an unknown target.)"""


@web.middleware
async def refuse_unknown_paths(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer what has no route with ``UnknownOperationException`` in the service's form."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        codec = AwsJson("rekognition") if request.path == "/" else RestJson("kinesisvideo")
        error = ServiceError(
            "UnknownOperationException", f"Unknown operation: {request.method} {request.path[:128]}"
        )
        answer = codec.error(error, request_id=str(uuid.uuid4()))
        return web.Response(status=_STATUS, headers=answer.headers, body=answer.body)


async def name_server(request: web.Request, response: web.StreamResponse) -> None:
    """Set the Server header; a signal handler for ``on_response_prepare``."""
    del request
    response.headers["Server"] = SERVER
