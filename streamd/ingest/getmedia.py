"""The GetMedia client: where to ask, how to sign, bytes as they arrive, errors with a name.

It speaks to AWS and to the embedded endpoint alike; they differ by URL and credentials.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from yarl import URL

from streamd.clock import Clock, SystemClock
from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaSourceError,
    MediaUnavailableError,
    StreamNotFoundError,
    ThrottledError,
)

__all__ = ["KinesisVideoClient", "MediaResponse", "SigningKey", "stream_address"]

logger = logging.getLogger(__name__)

SIGNING_NAME: Final = "kinesisvideo"
ENDPOINT_LIFETIME_SECONDS: Final = 45 * 60.0
"""The SDKs ask for the data endpoint again after about this time."""
CONNECT_TIMEOUT_SECONDS: Final = 10.0
CALL_TIMEOUT_SECONDS: Final = 20.0
READ_TIMEOUT_SECONDS: Final = 45.0
"""Longest silence inside an answer; a fragment lasts 20 s at most (service quota)."""
MAX_ERROR_BYTES: Final = 64 * 1024

_NOT_FOUND = {"ResourceNotFoundException"}
_DENIED = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "NotAuthorizedException",
    "UnrecognizedClientException",
}
_THROTTLED = {
    "ClientLimitExceededException",
    "ConnectionLimitExceededException",
    "LimitExceededException",
    "ThrottlingException",
    "TooManyRequestsException",
}
# An expired token is replaced by the next call's, a wrong endpoint asked for again.
_TRANSIENT = {"ExpiredTokenException", "InvalidEndpointException", "RequestTimeoutException"}


SigningKey = ReadOnlyCredentials
"""Frozen credentials: access key, secret key and session token."""


class MediaResponse:
    """An answer that has begun."""

    def __init__(self, response: aiohttp.ClientResponse, server_date: datetime) -> None:
        self._response = response
        self.server_date = server_date
        """When the server answered, by its own clock: whole seconds, rounded down."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives; ends when the server ends it.

        Raises:
            MediaUnavailableError: If the connection breaks or is silent for too long.

        """
        with _network_errors():
            async for chunk in self._response.content.iter_any():
                yield chunk


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: str
    valid_until: float  # monotonic


class KinesisVideoClient:
    """Reads media of Kinesis video streams; one per event loop, shared by all streams."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        region: str,
        endpoint_url: str | None = None,
        credentials: Callable[[], Awaitable[SigningKey | None]] | None = None,
        account_header: str | None = None,
        clock: Clock | None = None,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        """Create a client.

        Args:
            session: Its connector bounds how many streams can be read at once.
            region: Region requests are signed for.
            endpoint_url: Of the control plane; ``None``: AWS in ``region``.
            credentials: Gives the key for each call, looked up off the event loop; without
                it, or when it gives ``None``, requests are not signed.
            account_header: Header that tells the embedded endpoint whose stream is meant; AWS
                knows it by the key.
            clock: Where the time comes from.
            read_timeout_seconds: Longest silence inside an answer.
        """
        self._session = session
        self._region = region
        endpoint = endpoint_url or f"https://kinesisvideo.{region}.amazonaws.com"
        self._endpoint_url = endpoint.rstrip("/")
        self._credentials = credentials
        self._account_header = account_header
        self._clock = clock or SystemClock()
        self._read_timeout_seconds = read_timeout_seconds
        self._endpoints: dict[tuple[str | None, str], _Endpoint] = {}

    @asynccontextmanager
    async def get_media(
        self, stream: str, start_selector: Mapping[str, Any], *, account_id: str | None = None
    ) -> AsyncIterator[MediaResponse]:
        """Call GetMedia and give the answer as soon as it begins; leaving closes it.

        Args:
            stream: Name or ARN; an ARN without the creation time is addressed by its name.
            start_selector: As on the wire: ``StartSelectorType`` and its member.
            account_id: Whose stream it is; ``None``: the key's own account's.

        Raises:
            MediaSourceError: One of its subclasses, by what the server says.

        """
        base = await self._data_endpoint(stream, account_id)
        body = {**stream_address(stream), "StartSelector": dict(start_selector)}
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=CONNECT_TIMEOUT_SECONDS,
            sock_read=self._read_timeout_seconds,
        )
        try:
            response = await self._post(f"{base}/getMedia", body, timeout, account_id)
        except MediaSourceError:
            self._endpoints.pop((account_id, stream), None)  # it may have moved
            raise
        try:
            yield MediaResponse(response, self._date_of(response))
        finally:
            # close, not release: the rest of an endless body must not be read.
            response.close()

    async def _data_endpoint(self, stream: str, account_id: str | None) -> str:
        known = self._endpoints.get((account_id, stream))
        if known is not None and self._clock.monotonic() < known.valid_until:
            return known.url
        body = {**stream_address(stream), "APIName": "GET_MEDIA"}
        timeout = aiohttp.ClientTimeout(
            total=CALL_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS
        )
        response = await self._post(
            f"{self._endpoint_url}/getDataEndpoint", body, timeout, account_id
        )
        async with response:
            with _network_errors():
                answer = await _json_of(response)
        url = answer.get("DataEndpoint")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise MediaUnavailableError(f"GetDataEndpoint answered {str(answer)[:200]!r}")
        url = url.rstrip("/")
        valid_until = self._clock.monotonic() + ENDPOINT_LIFETIME_SECONDS
        self._endpoints[account_id, stream] = _Endpoint(url, valid_until)
        return url

    async def _post(
        self,
        url: str,
        body: Mapping[str, Any],
        timeout: aiohttp.ClientTimeout,
        account_id: str | None,
    ) -> aiohttp.ClientResponse:
        data = json.dumps(body).encode()
        headers = await self._headers(url, data, account_id)
        with _network_errors():
            response = await self._session.post(
                URL(url, encoded=True),
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            )
            if response.status == 200:
                return response
            async with response:
                raise _error_of(response.status, response.headers, await _json_of(response))

    async def _headers(self, url: str, data: bytes, account_id: str | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._account_header is not None and account_id is not None:
            headers[self._account_header] = account_id
        key = await self._credentials() if self._credentials is not None else None
        if key is None:
            return headers
        request = AWSRequest(method="POST", url=url, data=data, headers=headers)
        SigV4Auth(key, SIGNING_NAME, self._region).add_auth(request)
        return dict(request.headers.items())

    def _date_of(self, response: aiohttp.ClientResponse) -> datetime:
        try:
            date = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return self._clock.now()
        return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def stream_address(stream: str) -> dict[str, str]:
    """Return how a request names a stream: StreamARN, or StreamName.

    The API takes ARNs with the creation time only (``…:stream/NAME/1700000000123``); one
    without is addressed by its name.
    """
    if not stream.startswith("arn:"):
        return {"StreamName": stream}
    parts = stream.rpartition(":")[2].split("/")
    if len(parts) >= 3:
        return {"StreamARN": stream}
    return {"StreamName": parts[-1]}


@contextmanager
def _network_errors() -> Iterator[None]:
    """Map what aiohttp raises to ours."""
    try:
        yield
    except TimeoutError as error:
        raise MediaUnavailableError("the video endpoint is silent for too long") from error
    except (aiohttp.ClientError, OSError) as error:
        text = str(error) or type(error).__name__
        raise MediaUnavailableError(f"the video endpoint cannot be read: {text}") from error


async def _json_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    raw = await response.content.read(MAX_ERROR_BYTES)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _error_of(status: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> MediaSourceError:
    kind = headers.get("x-amzn-ErrorType") or headers.get("x-amz-ErrorType")
    kind = str(kind or body.get("__type") or body.get("code") or "")
    code = kind.partition(":")[0].rpartition("#")[2]
    text = str(body.get("Message") or body.get("message") or "")
    message = f"{code or 'HTTP'} ({status}): {text or 'no message'}"
    if code in _NOT_FOUND or (not code and status == 404):
        return StreamNotFoundError(message)
    if code in _DENIED or (not code and status in (401, 403)):
        return AccessDeniedError(message)
    if code in _THROTTLED or status == 429:
        return ThrottledError(message)
    if code in _TRANSIENT or status >= 500 or not 400 <= status < 500:
        return MediaUnavailableError(message)
    return MediaRejectedError(message)
