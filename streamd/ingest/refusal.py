"""What went wrong in a call to a video endpoint, as one of our errors.

Kinesis Video names an error in a header or in the body, and whatever stands before it (a proxy,
a load balancer) only by its status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp

from streamd.aws import tells_wrong_clock
from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaSourceError,
    MediaUnavailableError,
    StreamNotFoundError,
    ThrottledError,
)

__all__ = ["Refusal", "date_in", "json_of", "network_errors", "read_refusal"]

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
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_WRONG_CLOCK = {"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"}
_TRANSIENT = {
    *_EXPIRED,
    *_WRONG_CLOCK,
    "InvalidEndpointException",
    "RequestTimeoutException",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is none."""

    status: int
    code: str
    text: str
    date: datetime | None
    """When it was given, by the server's clock."""

    @property
    def is_expired(self) -> bool:
        """Whether another key may help."""
        return self.code in _EXPIRED

    @property
    def is_clock(self) -> bool:
        """Whether the signature was refused for its time alone."""
        return self.code in _WRONG_CLOCK or tells_wrong_clock(self.text)

    def error(self) -> MediaSourceError:
        """Return the error of this kind, with what the service said."""
        code, status = self.code, self.status
        message = f"{code or 'HTTP'} ({status}): {self.text or 'no message'}"
        if code in _NOT_FOUND or (not code and status == 404):
            return StreamNotFoundError(message)
        if self.is_clock:
            return MediaUnavailableError(message)
        if code in _DENIED or (not code and status in (401, 403)):
            return AccessDeniedError(message)
        if code in _THROTTLED or status == 429:
            return ThrottledError(message)
        if code in _TRANSIENT or status >= 500 or not 400 <= status < 500:
            return MediaUnavailableError(message)
        return MediaRejectedError(message)


async def read_refusal(response: aiohttp.ClientResponse) -> Refusal:
    """Read an answer other than 200, and close it.

    Raises:
        MediaUnavailableError: If the connection breaks meanwhile.

    """
    async with response:
        with network_errors():
            body = await json_of(response)
    headers = response.headers
    kind = headers.get("x-amzn-ErrorType") or headers.get("x-amz-ErrorType")
    kind = str(kind or body.get("__type") or body.get("code") or "")
    return Refusal(
        status=response.status,
        code=kind.partition(":")[0].rpartition("#")[2],
        text=str(body.get("Message") or body.get("message") or ""),
        date=date_in(headers),
    )


@contextmanager
def network_errors() -> Iterator[None]:
    """Map what aiohttp raises to ours."""
    try:
        yield
    except TimeoutError as error:
        raise MediaUnavailableError("the video endpoint is silent for too long") from error
    except (aiohttp.ClientError, OSError) as error:
        text = str(error) or type(error).__name__
        raise MediaUnavailableError(f"the video endpoint cannot be read: {text}") from error


async def json_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return the document an answer begins with; empty where it is none."""
    raw = await response.content.read(MAX_ERROR_BYTES)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def date_in(headers: Mapping[str, str]) -> datetime | None:
    """Return when the server answered, by its own clock; ``None`` if it does not say."""
    try:
        date = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
