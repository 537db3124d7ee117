"""One PutMedia request: the body goes up while acknowledgements come down."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import aiohttp
import yarl

from streamd.kvs.acks import AckError, Acknowledgement, AckReader, ErrorCode, EventType
from streamd.producer.errors import EndpointError, RefusedError
from streamd.producer.kinesis_video import Signer

__all__ = ["put_media"]

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""Longest time without an acknowledgement; a fragment has 10 s, IDLE comes sooner."""
LOOK_SECONDS = 1.0
PASSING_ERRORS = frozenset({
    ErrorCode.STREAM_READ_ERROR,
    ErrorCode.MAX_CONNECTION_DURATION_REACHED,
    ErrorCode.STREAM_NOT_ACTIVE,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.ARCHIVAL_ERROR,
})  # fmt: skip
PASSING_CODES = frozenset({
    "ClientLimitExceededException", "ConnectionLimitExceededException", "ThrottlingException",
    # The stream has moved: the next connection asks for its endpoint again.
    "InvalidEndpointException",
})  # fmt: skip
ADVICE = {
    "ResourceNotFoundException": "the stream was deleted: run the command again to make it anew",
    "STREAM_DELETED": "the stream was deleted: run the command again to make it anew",
    "MAX_FRAGMENT_SIZE_REACHED": "lower the bit rate, or add --transcode",
    "MAX_FRAGMENT_DURATION_REACHED": "keyframes are too far apart: add --transcode",
    "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS": "the source's times go back: add --transcode",
    "FRAMES_MISSING_FOR_TRACK": "sound and pictures do not overlap: leave --audio out",
    "INVALID_MKV_DATA": "add --transcode",
}


async def put_media(
    session: aiohttp.ClientSession,
    url: str,
    *,
    stream_name: str,
    body: AsyncIterator[bytes],
    signer: Signer | None,
    on_acknowledgement: Callable[[Acknowledgement], None],
    verify: bool = True,
) -> None:
    """Send one MKV document; returns when the service closed the answer.

    Raises:
        EndpointError: If the connection broke or the service is busy; try again.
        RefusedError: If the service will not take this.

    """
    headers = {
        "x-amzn-stream-name": stream_name,
        "x-amzn-fragment-timecode-type": "ABSOLUTE",
        "x-amzn-fragment-acknowledgment-required": "1",
    }
    if signer is not None:
        headers = signer.headers(url, headers)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    # The signature covers the address as it is written here.
    target = yarl.URL(url, encoded=True)
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            response = await session.post(
                target, data=body, headers=headers, timeout=timeout, ssl=verify
            )
        async with response:
            if response.status != 200:
                raise _refused(response, await response.text())
            await _read_acknowledgements(response, on_acknowledgement)
    except AckError as error:
        raise EndpointError(f"what answers at {url} is not Kinesis Video: {error}") from error
    except TimeoutError as error:
        raise EndpointError("the endpoint does not answer PutMedia") from error
    except (aiohttp.ClientError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise EndpointError(f"the connection broke: {reason}") from error


async def _read_acknowledgements(
    response: aiohttp.ClientResponse, on_acknowledgement: Callable[[Acknowledgement], None]
) -> None:
    reader = AckReader()
    while data := await _next_bytes(response):
        for acknowledgement in reader.feed(data):
            _take(acknowledgement, on_acknowledgement)
    for acknowledgement in reader.close():
        _take(acknowledgement, on_acknowledgement)


async def _next_bytes(response: aiohttp.ClientResponse) -> bytes:
    """Return what came, nothing at the end.

    Where the connection breaks at the very end of the body, aiohttp (3.14) closes it and
    leaves the reader waiting for ever; so look from time to time.
    """
    silent_seconds = 0.0
    while silent_seconds < SILENCE_SECONDS:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                return await response.content.readany()
        silent_seconds += LOOK_SECONDS
        if response.connection is None or response.connection.closed:
            raise EndpointError("the connection broke")
    raise EndpointError("the endpoint has gone silent")


def _take(
    acknowledgement: Acknowledgement, on_acknowledgement: Callable[[Acknowledgement], None]
) -> None:
    on_acknowledgement(acknowledgement)
    if acknowledgement.event_type is not EventType.ERROR:
        return
    code = acknowledgement.error_code or str(acknowledgement.error_id)
    if acknowledgement.error_id in PASSING_ERRORS:
        raise EndpointError(f"the stream answered {code}")
    raise RefusedError(
        f"the stream refused a fragment: {code} ({acknowledgement.error_id})",
        code=code,
        hint=ADVICE.get(code),
    )


def _refused(response: aiohttp.ClientResponse, text: str) -> EndpointError | RefusedError:
    code = response.headers.get("x-amzn-ErrorType", f"HTTP {response.status}").partition(":")[0]
    message = _message(text) or response.reason or code
    if code == "ConnectionLimitExceededException":
        message = f"another producer is sending into this stream ({message})"
    if response.status >= 500 or code in PASSING_CODES:
        return EndpointError(f"{code}: {message}")
    hint = ADVICE.get(code)
    if response.status in (401, 403) or "Signature" in code or "Authentication" in code:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of [auth] credentials"
    return RefusedError(f"{code}: {message}", code=code, hint=hint)


def _message(text: str) -> str | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    message = document.get("Message") or document.get("message")
    return str(message) if message else None
