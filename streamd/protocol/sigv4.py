"""Signatures at the door: the aiohttp middleware that lets only signed requests pass.

The cheap checks come first, so that a stranger cannot make the daemon read a body. The body
is read once (aiohttp keeps it for the handler), except PutMedia's, which is endless.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from streamd.protocol.aws_json import AwsJson
from streamd.protocol.claim import RequestHead
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import Identity
from streamd.protocol.rest_json import RestJson
from streamd.protocol.serialize import Answer
from streamd.protocol.signature import UnknownKeyError, Verifier, streamed_payload

__all__ = [
    "ACCOUNT_HEADER",
    "IDENTITY",
    "OPEN_PATHS",
    "REQUEST_SECONDS",
    "Verifier",
    "auth_middleware",
    "names_this_machine",
    "read_body",
    "request_head",
    "to_response",
]

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths for probes and Prometheus, which do not sign."""
IDENTITY = web.RequestKey("identity", Identity)
"""Who makes the request; set on every one that passed the middleware."""
REQUEST_SECONDS = web.AppKey("request_seconds", float)
"""Longest time the body of a request may take to arrive."""
CONSOLE_PREFIX = "/console/"
"""Paths of the console, whose requests are signed for ``rekognition``."""
ACCOUNT_HEADER = "x-streamd-account"
"""The account a worker acts for; it counts from the daemon's own key alone, and signed."""

_STREAMED_PATHS = frozenset({"/putMedia"})
_HASH_CHUNK_BYTES = 256 * 1024
_BODY_SECONDS = 60.0
_ACCOUNT = re.compile(r"\d{12}")
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def auth_middleware(
    verifier: Verifier | None,
    *,
    anonymous: Identity | None = None,
    open_paths: frozenset[str] = OPEN_PATHS,
    look_up: Callable[[str], Awaitable[None]] | None = None,
) -> Middleware:
    """Return the middleware.

    Args:
        verifier: Checks signatures; ``None`` lets everything pass.
        anonymous: Who unsigned requests are from (``auth.mode = "none"``). Signatures are then
            looked at only where a request says that it acts for another account.
        open_paths: Paths that need no signature.
        look_up: Awaited with an access key id that is not known, which it may make known.

    """

    @web.middleware
    async def authenticate(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if verifier is None or request.path in open_paths:
            return await handler(request)
        if anonymous is not None and ACCOUNT_HEADER not in request.headers:
            if _is_from_a_foreign_page(request):
                logger.warning("request of a web page refused", extra={"path": request.path})
                error = ServiceError(
                    "AccessDeniedException", "Requests of web pages must be signed."
                )
                return _refusal(request, error)
            request[IDENTITY] = anonymous
        else:
            try:
                request[IDENTITY] = await _verify(verifier, request, look_up)
            except ServiceError as error:
                logger.info(
                    "request refused",
                    extra={"code": error.code, "path": request.path, "peer": request.remote},
                )
                return _refusal(request, error)
        return await handler(request)

    return authenticate


def _is_from_a_foreign_page(request: web.Request) -> bool:
    """Whether a browser sends this for a page that is not ours.

    Where nobody signs, the loopback address is the only guard, and any page the user looks at
    can reach it. Browsers say in ``Origin`` for whom they ask; SDKs send none.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    return not names_this_machine(request.host) or origin.partition("://")[2] != request.host


def names_this_machine(host: str) -> bool:
    """Whether a Host header can mean this machine alone.

    A name that is not the machine's own may be pointed here by whoever owns it.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name == "localhost" or _ADDRESS.fullmatch(name.strip("[]")) is not None


async def _verify(
    verifier: Verifier,
    request: web.Request,
    look_up: Callable[[str], Awaitable[None]] | None,
) -> Identity:
    head = request_head(request)
    service = _service_of(head.path)
    try:
        claim = verifier.claim(head, service=service)
    except UnknownKeyError as error:
        if look_up is None:
            raise
        await look_up(error.access_key_id)
        claim = verifier.claim(head, service=service)
    if head.path in _STREAMED_PATHS:
        payload_hash = streamed_payload(head)
    else:
        payload_hash = await _hash(await read_body(request))
    key = verifier.prove(head, claim, payload_hash=payload_hash)
    account_id = key.account_id
    if key.acts_for_others and ACCOUNT_HEADER in claim.signed_headers:
        account_id = head.header(ACCOUNT_HEADER) or account_id
        if not _ACCOUNT.fullmatch(account_id):
            raise ServiceError("ValidationException", f"{ACCOUNT_HEADER} is no account id.")
    return Identity(
        account_id=account_id,
        access_key_id=key.access_key_id,
        permissions=key.permissions,
        is_internal=key.acts_for_others,
    )


def _service_of(path: str) -> str:
    # The console is a part of what Rekognition is here.
    is_rekognition = path == "/" or path.startswith(CONSOLE_PREFIX)
    return "rekognition" if is_rekognition else "kinesisvideo"


def request_head(request: web.Request) -> RequestHead:
    """Return a request's head as it came over the wire."""
    target = request.raw_path
    if not target.startswith("/"):  # absolute form, as a proxy sends it
        _scheme, _sep, rest = target.partition("://")
        target = "/" + rest.partition("/")[2]
    headers = [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in request.raw_headers
    ]
    return RequestHead(method=request.method, target=target, headers=headers)


async def read_body(request: web.Request) -> bytes:
    """Return the whole body, kept for whoever asks again.

    Raises:
        ServiceError: If it is too large, too slow or cut short.

    """
    try:
        async with asyncio.timeout(request.config_dict.get(REQUEST_SECONDS, _BODY_SECONDS)):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise ServiceError(
            "RequestEntityTooLargeException", "The request body is too large."
        ) from None
    except TimeoutError:
        raise ServiceError(
            "RequestTimeoutException", "The request body did not arrive in time."
        ) from None
    except web.RequestPayloadError:
        raise ServiceError("SerializationException", "The request body is incomplete.") from None


async def _hash(body: bytes) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(body), _HASH_CHUNK_BYTES):
        digest.update(body[start : start + _HASH_CHUNK_BYTES])
        if start:
            # A large body takes milliseconds; others get their turn in between.
            await asyncio.sleep(0)
    return digest.hexdigest()


def _refusal(request: web.Request, error: ServiceError) -> web.Response:
    request_id = str(uuid.uuid4())
    if _service_of(request.path) == "rekognition":
        return to_response(AwsJson("rekognition").error(error, request_id=request_id))
    return to_response(RestJson("kinesisvideo").error(error, request_id=request_id))


def to_response(answer: Answer) -> web.Response:
    """Return aiohttp's form of an answer."""
    headers = {"Server": "streamd", **answer.headers}
    return web.Response(status=answer.status, headers=headers, body=answer.body)
