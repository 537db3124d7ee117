"""The GetMedia client: where to ask, how to sign, bytes as they arrive.

It speaks to AWS and to the embedded endpoint alike; they differ by URL and credentials.

What a second try mends at once is tried here, once: a key that the service calls expired is
replaced, a signature whose time it refuses is made by the service's clock. All else is an error,
and when to call again the caller's affair.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from yarl import URL

from streamd.aws import AwsError, AwsUnavailableError
from streamd.clock import Clock, SystemClock
from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaSourceError,
    MediaUnavailableError,
    RoleDeniedError,
    ThrottledError,
)
from streamd.ingest.refusal import Refusal, date_in, json_of, network_errors, read_refusal
from streamd.patience import Patience

__all__ = ["FindKey", "KinesisVideoClient", "MediaResponse", "SigningKey", "stream_address"]

logger = logging.getLogger(__name__)

SIGNING_NAME: Final = "kinesisvideo"
ENDPOINT_LIFETIME_SECONDS: Final = 45 * 60.0
"""The SDKs ask for the data endpoint again after about this time."""
CONNECT_TIMEOUT_SECONDS: Final = 10.0
CALL_TIMEOUT_SECONDS: Final = 20.0
READ_TIMEOUT_SECONDS: Final = 45.0
"""Longest silence inside an answer; a fragment lasts 20 s at most (service quota)."""

_WORTH_CORRECTING = timedelta(seconds=30)
_SIGV4_TIME: Final = "%Y%m%dT%H%M%SZ"


SigningKey = ReadOnlyCredentials
"""Frozen credentials: access key, secret key and session token."""


class FindKey(Protocol):
    """Gives the key for each call, looked up off the event loop."""

    async def __call__(
        self, role_arn: str | None, *, expired: SigningKey | None = None
    ) -> SigningKey | None:
        """Return the key of a role, or the caller's own; ``None``: requests are not signed.

        Args:
            role_arn: The role to call as; ``None``: none.
            expired: A key that the service has just refused as expired; not to be given again.

        Raises:
            AwsError: If there is none to be had.

        """


class _ClockedAuth(SigV4Auth):
    """Signs for a time that is given, not for this machine's."""

    def __init__(self, key: SigningKey, region: str, now: datetime) -> None:
        super().__init__(key, SIGNING_NAME, region)
        self._now = now

    def _modify_request_before_signing(self, request: Any) -> None:
        request.context["timestamp"] = self._now.strftime(_SIGV4_TIME)
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # not in the stubs


class MediaResponse:
    """An answer that has begun."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        server_date: datetime,
        *,
        read_timeout_seconds: float,
        look_again_seconds: float | None,
        has_moved: Callable[[], Awaitable[bool]],
    ) -> None:
        self._response = response
        self._read_timeout_seconds = read_timeout_seconds
        self._look_again_seconds = look_again_seconds
        self._has_moved = has_moved
        self.server_date = server_date
        """When the server answered, by its own clock: whole seconds, rounded down."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives; ends when the server ends it.

        Raises:
            MediaUnavailableError: If the connection breaks, is silent for too long, or silent
                while the stream has moved elsewhere.

        """
        patience = Patience()
        try:
            with network_errors():
                while chunk := await self._next(patience):
                    yield chunk
        finally:
            patience.close()

    async def _next(self, patience: Patience) -> bytes:
        left = self._read_timeout_seconds
        while True:
            seconds = min(left, self._look_again_seconds or left)
            left -= seconds
            try:
                return await patience.wait(self._response.content.readany(), seconds=seconds)
            except TimeoutError:
                if left <= 0:
                    raise
            if await self._has_moved():
                raise MediaUnavailableError("the stream is at another endpoint now")


@dataclass(frozen=True, slots=True)
class _Caller:
    account_id: str | None
    role_arn: str | None


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
        credentials: FindKey | None = None,
        account_header: str | None = None,
        unverified_urls: tuple[str, ...] = (),
        clock: Clock | None = None,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        look_again_seconds: float | None = None,
    ) -> None:
        """Create a client.

        Args:
            session: Its connector bounds how many streams can be read at once.
            region: Region requests are signed for.
            endpoint_url: Of the control plane; ``None``: AWS in ``region``.
            credentials: Gives the key for each call; without it requests are not signed.
            account_header: Header that tells the embedded endpoint whose stream is meant; AWS
                knows it by the key.
            unverified_urls: Of endpoints whose certificate is not verified.
            clock: Where the time comes from.
            read_timeout_seconds: Longest silence inside an answer.
            look_again_seconds: After so much silence the endpoint is asked for again: a replica
                that hangs, or is cut off, says nothing while another takes its streams. ``None``:
                never, as AWS's endpoints do not hang.
        """
        self._session = session
        self._region = region
        endpoint = endpoint_url or f"https://kinesisvideo.{region}.amazonaws.com"
        self._endpoint_url = endpoint.rstrip("/")
        self._credentials = credentials
        self._account_header = account_header
        self._unverified_urls = frozenset(url.rstrip("/") for url in unverified_urls)
        self._clock = clock or SystemClock()
        self._read_timeout_seconds = read_timeout_seconds
        self._look_again_seconds = look_again_seconds
        self._ahead = timedelta(0)
        """How far the service's clock is ahead of this machine's, once it minds."""
        self._endpoints: dict[tuple[_Caller, str], _Endpoint] = {}

    @asynccontextmanager
    async def get_media(
        self,
        stream: str,
        start_selector: Mapping[str, Any],
        *,
        account_id: str | None = None,
        role_arn: str | None = None,
    ) -> AsyncIterator[MediaResponse]:
        """Call GetMedia and give the answer as soon as it begins; leaving closes it.

        Args:
            stream: Name or ARN; an ARN without the creation time is addressed by its name.
            start_selector: As on the wire: ``StartSelectorType`` and its member.
            account_id: Whose stream it is; ``None``: the key's own account's.
            role_arn: Role to call as; ``None``: none.

        Raises:
            MediaSourceError: One of its subclasses, by what the server says.

        """
        caller = _Caller(account_id, role_arn)
        base = await self._data_endpoint(stream, caller)
        body = {**stream_address(stream), "StartSelector": dict(start_selector)}
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=CONNECT_TIMEOUT_SECONDS,
            sock_read=self._read_timeout_seconds,
        )
        try:
            response = await self._post(f"{base}/getMedia", body, timeout, caller)
        except (ThrottledError, AccessDeniedError, MediaRejectedError):
            raise  # the endpoint is right, and asking for it is limited to five times a second
        except MediaSourceError:
            self._endpoints.pop((caller, stream), None)  # it may have moved
            raise
        try:
            if response.connection is not None and response.connection.protocol is not None:
                # From here on silence is ours to notice: aiohttp makes a timer for every packet.
                response.connection.protocol.read_timeout = None
            yield MediaResponse(
                response,
                self._date_of(response),
                read_timeout_seconds=self._read_timeout_seconds,
                look_again_seconds=self._look_again_seconds,
                has_moved=lambda: self._has_moved(stream, caller, base),
            )
        finally:
            # close, not release: the rest of an endless body must not be read.
            response.close()

    async def _has_moved(self, stream: str, caller: _Caller, base: str) -> bool:
        """Whether a stream that is read from one endpoint is at another by now."""
        try:
            url = await self._ask_endpoint(stream, caller)
        except MediaSourceError as error:
            logger.debug("whether a silent stream has moved cannot be told: %s", error)
            return False
        if url == base:
            return False
        self._endpoints.pop((caller, stream), None)
        return True

    async def _data_endpoint(self, stream: str, caller: _Caller) -> str:
        known = self._endpoints.get((caller, stream))
        if known is not None and self._clock.monotonic() < known.valid_until:
            return known.url
        try:
            url = await self._ask_endpoint(stream, caller)
        except MediaUnavailableError:
            if known is None:
                raise
            url = known.url  # old, but no call has failed with it
        valid_until = self._clock.monotonic() + ENDPOINT_LIFETIME_SECONDS
        self._endpoints[caller, stream] = _Endpoint(url, valid_until)
        return url

    async def _ask_endpoint(self, stream: str, caller: _Caller) -> str:
        body = {**stream_address(stream), "APIName": "GET_MEDIA"}
        timeout = aiohttp.ClientTimeout(
            total=CALL_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS
        )
        response = await self._post(f"{self._endpoint_url}/getDataEndpoint", body, timeout, caller)
        async with response:
            with network_errors():
                answer = await json_of(response)
        url = answer.get("DataEndpoint")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise MediaUnavailableError(f"GetDataEndpoint answered {str(answer)[:200]!r}")
        return url.rstrip("/")

    async def _post(
        self, url: str, body: Mapping[str, Any], timeout: aiohttp.ClientTimeout, caller: _Caller
    ) -> aiohttp.ClientResponse:
        data = json.dumps(body).encode()
        key = await self._key(caller)
        response = await self._send(url, data, timeout, caller, key)
        if response.status == 200:
            return response
        refusal = await read_refusal(response)
        if key is None or not (again := await self._mended(refusal, caller, key)):
            raise refusal.error()
        response = await self._send(url, data, timeout, caller, again)
        if response.status == 200:
            return response
        raise (await read_refusal(response)).error()

    async def _mended(
        self, refusal: Refusal, caller: _Caller, key: SigningKey
    ) -> SigningKey | None:
        """Mend what a call was refused for; returns the key to call again with, if any."""
        if refusal.is_expired:
            renewed = await self._key(caller, expired=key)
            return renewed if renewed is not None and renewed != key else None
        if refusal.is_clock and refusal.date is not None:
            ahead = refusal.date - self._clock.now()
            if abs(ahead - self._ahead) >= _WORTH_CORRECTING:
                logger.warning(
                    "this machine's clock is %d s behind the video endpoint's; "
                    "requests are signed by that",
                    ahead.total_seconds(),
                )
                self._ahead = ahead
                return key
        return None

    async def _send(
        self,
        url: str,
        data: bytes,
        timeout: aiohttp.ClientTimeout,
        caller: _Caller,
        key: SigningKey | None,
    ) -> aiohttp.ClientResponse:
        headers = {"Content-Type": "application/json"}
        if self._account_header is not None and caller.account_id is not None:
            headers[self._account_header] = caller.account_id
        if key is not None:
            request = AWSRequest(method="POST", url=url, data=data, headers=headers)
            _ClockedAuth(key, self._region, self._clock.now() + self._ahead).add_auth(request)
            headers = dict(request.headers.items())
        with network_errors():
            return await self._session.post(
                URL(url, encoded=True),
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=url.rpartition("/")[0] not in self._unverified_urls,
            )

    async def _key(
        self, caller: _Caller, *, expired: SigningKey | None = None
    ) -> SigningKey | None:
        if self._credentials is None:
            return None
        try:
            return await self._credentials(caller.role_arn, expired=expired)
        except AwsUnavailableError as error:
            raise MediaUnavailableError(f"no credentials now: {error}") from error
        except AwsError as error:
            if caller.role_arn is None:
                raise AccessDeniedError(f"no credentials: {error}") from error
            raise RoleDeniedError(f"role {caller.role_arn}: {error}") from error

    def _date_of(self, response: aiohttp.ClientResponse) -> datetime:
        return date_in(response.headers) or self._clock.now() + self._ahead


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
