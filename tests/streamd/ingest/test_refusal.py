"""What an answer that is none means: by its code, else by its status."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaSourceError,
    MediaUnavailableError,
    StreamNotFoundError,
    ThrottledError,
)
from streamd.ingest.refusal import Refusal, date_in, network_errors, read_refusal
from tests.support.video_service import FakeService


def refusal(status: int, code: str = "", text: str = "") -> Refusal:
    return Refusal(status=status, code=code, text=text, date=None)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (refusal(404), StreamNotFoundError),
        (refusal(400, "ResourceNotFoundException"), StreamNotFoundError),
        (refusal(404, "SomethingElse"), MediaRejectedError),
        (refusal(401), AccessDeniedError),
        (refusal(400, "UnrecognizedClientException"), AccessDeniedError),
        (refusal(403, "SomethingElse"), MediaRejectedError),
        (refusal(429, "SomethingElse"), ThrottledError),
        (refusal(400, "ThrottlingException"), ThrottledError),
        (refusal(403, "ExpiredToken"), MediaUnavailableError),
        (refusal(403, "RequestTimeTooSkewed"), MediaUnavailableError),
        (
            refusal(403, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
            MediaUnavailableError,
        ),
        (refusal(403, "InvalidSignatureException", "does not match"), AccessDeniedError),
        (refusal(301), MediaUnavailableError),
        (refusal(503, "SomethingElse"), MediaUnavailableError),
        (refusal(400), MediaRejectedError),
    ],
    ids=lambda value: f"{value.status} {value.code}" if isinstance(value, Refusal) else "",
)
def test_each_refusal_has_its_error(given: Refusal, error: type[MediaSourceError]) -> None:
    """The code decides; a status alone counts only where no code is given."""
    assert type(given.error()) is error


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            refusal(404, "ResourceNotFoundException", "no such"),
            "ResourceNotFoundException (404): no such",
        ),
        (refusal(502), "HTTP (502): no message"),
    ],
    ids=["named", "unnamed"],
)
def test_an_error_says_what_the_service_said(given: Refusal, text: str) -> None:
    """Code, status and message are in it."""
    assert str(given.error()) == text


def test_only_expired_keys_and_wrong_clocks_are_worth_a_second_call() -> None:
    """Another key, or another time, may help there; a wrong signature stays wrong."""
    assert refusal(403, "ExpiredTokenException").is_expired
    assert not refusal(403, "UnrecognizedClientException").is_expired
    assert refusal(403, "RequestExpired").is_clock
    assert not refusal(403, "InvalidSignatureException", "does not match").is_clock


@pytest.mark.parametrize(
    ("headers", "body", "code", "text"),
    [
        ({"x-amzn-ErrorType": "A:http://x"}, '{"Message": "m"}', "A", "m"),
        ({}, '{"__type": "com.amazonaws#B", "message": "m"}', "B", "m"),
        ({}, '{"code": "C"}', "C", ""),
        ({}, "<html>", "", ""),
        ({}, "[1]", "", ""),
        ({}, "[" * 60_000, "", ""),
    ],
    ids=["header", "body", "old body", "no json", "no object", "too deep"],
)
async def test_code_and_text_are_found_wherever_they_are(
    service: tuple[FakeService, str],
    session: aiohttp.ClientSession,
    headers: dict[str, str],
    body: str,
    code: str,
    text: str,
) -> None:
    """AWS's services put them in three places; a proxy's page has neither."""
    fake, url = service

    async def refuse(request: web.Request) -> web.Response:
        del request
        date = {"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}
        return web.Response(status=418, text=body, headers=headers | date)

    fake.media = refuse
    found = await read_refusal(await session.post(f"{url}getMedia", data="{}"))
    assert found == Refusal(
        status=418, code=code, text=text, date=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    )


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}], ids=["absent", "malformed"])
def test_no_date_is_no_error(headers: dict[str, str]) -> None:
    """A server that does not tell the time is taken at our own."""
    assert date_in(headers) is None


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (TimeoutError(), "silent for too long"),
        (aiohttp.ClientPayloadError("cut off"), "cannot be read: cut off"),
        (ConnectionResetError(), "cannot be read: ConnectionResetError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_network_errors_are_unavailable_media(raised: Exception, text: str) -> None:
    """Whatever breaks on the way may be mended by another call."""
    with pytest.raises(MediaUnavailableError, match=text) as caught, network_errors():
        raise raised
    assert caught.value.__cause__ is raised
