"""The GetMedia client against a server that behaves, and one that does not."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.credentials import ReadOnlyCredentials

from streamd.aws import AwsDeniedError, AwsError, AwsRejectedError, AwsUnavailableError
from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaSourceError,
    MediaUnavailableError,
    RoleDeniedError,
    StreamNotFoundError,
    ThrottledError,
)
from streamd.ingest.getmedia import KinesisVideoClient, stream_address
from tests.support.certificates import self_signed
from tests.support.clock import ManualClock

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/front-door"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Keys:
    """Gives keys one after the other: the next when the one before is called expired."""

    def __init__(self, *keys: ReadOnlyCredentials) -> None:
        self._keys = list(keys)
        self.roles: list[str | None] = []

    async def __call__(
        self, role_arn: str | None, *, expired: ReadOnlyCredentials | None = None
    ) -> ReadOnlyCredentials:
        self.roles.append(role_arn)
        if expired is not None and len(self._keys) > 1:
            assert expired == self._keys.pop(0)
        return self._keys[0]


class FakeService:
    """A video endpoint that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.media: Handler = self.bring
        self.endpoint_answer: Any = None

    async def note(self, request: web.Request) -> None:
        self.asked.append((request.path, json.loads(await request.read()), dict(request.headers)))

    async def endpoint(self, request: web.Request) -> web.Response:
        await self.note(request)
        url = str(request.url.origin()) + "/"
        return web.json_response(self.endpoint_answer or {"DataEndpoint": url})

    async def get_media(self, request: web.Request) -> web.StreamResponse:
        await self.note(request)
        return await self.media(request)

    async def bring(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Date": "Tue, 14 Nov 2023 22:13:20 GMT"})
        await response.prepare(request)
        await response.write(b"one")
        await response.write(b"two")
        return response


@pytest.fixture
async def service() -> AsyncIterator[tuple[FakeService, str]]:
    """A running service and its URL."""
    fake = FakeService()
    app = web.Application()
    app.router.add_post("/getDataEndpoint", fake.endpoint)
    app.router.add_post("/getMedia", fake.get_media)
    async with TestServer(app) as server:
        yield fake, str(server.make_url("/"))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session."""
    async with aiohttp.ClientSession() as opened:
        yield opened


async def read(client: KinesisVideoClient, stream: str = ARN) -> bytes:
    """The whole body of one call from NOW."""
    async with client.get_media(stream, {"StartSelectorType": "NOW"}) as media:
        return b"".join([chunk async for chunk in media.chunks()])


async def test_reads_a_stream(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """GetDataEndpoint is asked once, GetMedia each time; the answer has the server's date."""
    fake, url = service
    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url)
    assert await read(client) == b"onetwo"
    async with client.get_media(ARN, {"StartSelectorType": "EARLIEST"}) as media:
        assert media.server_date == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert [(path, body) for path, body, _ in fake.asked] == [
        ("/getDataEndpoint", {"StreamName": "front-door", "APIName": "GET_MEDIA"}),
        ("/getMedia", {"StreamName": "front-door", "StartSelector": {"StartSelectorType": "NOW"}}),
        (
            "/getMedia",
            {"StreamName": "front-door", "StartSelector": {"StartSelectorType": "EARLIEST"}},
        ),
    ]
    assert "Authorization" not in fake.asked[0][2]


async def test_signs_with_credentials(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """With credentials every call is signed for kinesisvideo in the region."""
    fake, url = service

    key = Keys(ReadOnlyCredentials("AKIATEST", "secret", "token", None))

    client = KinesisVideoClient(
        session=session, region="eu-west-1", endpoint_url=url, credentials=key
    )
    await read(client)
    for _, _, headers in fake.asked:
        assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
        assert "/eu-west-1/kinesisvideo/aws4_request" in headers["Authorization"]
        assert headers["X-Amz-Security-Token"] == "token"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "ResourceNotFoundException", StreamNotFoundError),
        (401, "NotAuthorizedException", AccessDeniedError),
        (403, "", AccessDeniedError),
        (400, "ClientLimitExceededException", ThrottledError),
        (400, "ConnectionLimitExceededException:http://internal", ThrottledError),
        (429, "", ThrottledError),
        (400, "InvalidEndpointException", MediaUnavailableError),
        (500, "", MediaUnavailableError),
        (302, "", MediaUnavailableError),
        (400, "InvalidArgumentException", MediaRejectedError),
    ],
)
async def test_errors(
    service: tuple[FakeService, str],
    session: aiohttp.ClientSession,
    status: int,
    code: str,
    error: type[MediaSourceError],
) -> None:
    """Each answer of the service has its error, with what the service said."""
    fake, url = service

    async def refuse(request: web.Request) -> web.Response:
        del request
        headers = {"x-amzn-ErrorType": code} if code else {}
        return web.json_response({"Message": "because"}, status=status, headers=headers)

    fake.media = refuse
    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url)
    with pytest.raises(error, match="because") as caught:
        await read(client)
    assert type(caught.value) is error


ROLE = "arn:aws:iam::000000000000:role/viewer"


def key_of(number: int) -> ReadOnlyCredentials:
    return ReadOnlyCredentials(f"ASIA{number}", "secret", f"token-{number}", None)


async def test_an_expired_key_is_replaced_within_the_call(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """ExpiredTokenException costs one more call with a new key, no error and no new endpoint."""
    fake, url = service

    async def refuse_the_first(request: web.Request) -> web.StreamResponse:
        if request.headers["X-Amz-Security-Token"] != "token-2":
            headers = {"x-amzn-ErrorType": "ExpiredTokenException"}
            return web.json_response({"message": "expired"}, status=403, headers=headers)
        return await fake.bring(request)

    fake.media = refuse_the_first
    keys = Keys(key_of(1), key_of(2))
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, credentials=keys
    )
    async with client.get_media(ARN, {"StartSelectorType": "NOW"}, role_arn=ROLE) as media:
        assert b"".join([chunk async for chunk in media.chunks()]) == b"onetwo"
    assert [path for path, _, _ in fake.asked] == ["/getDataEndpoint", "/getMedia", "/getMedia"]
    assert set(keys.roles) == {ROLE}


async def test_a_key_that_stays_expired_is_unavailable_media(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """Somebody may renew it: that is no end of a session."""
    fake, url = service

    async def refuse(request: web.Request) -> web.Response:
        del request
        headers = {"x-amzn-ErrorType": "ExpiredTokenException"}
        return web.json_response({"message": "expired"}, status=403, headers=headers)

    fake.media = refuse
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, credentials=Keys(key_of(1))
    )
    with pytest.raises(MediaUnavailableError, match="ExpiredTokenException"):
        await read(client)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(hours=-3)], ids=str)
async def test_a_wrong_clock_is_corrected_by_the_services(
    service: tuple[FakeService, str], session: aiohttp.ClientSession, ahead: timedelta
) -> None:
    """A signature refused for its time alone is made again for the time the service has."""
    fake, url = service

    def now() -> datetime:
        return datetime.now(UTC) + ahead

    async def judge(request: web.Request) -> web.StreamResponse:
        signed = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        if abs(signed - now()) > timedelta(minutes=5):
            text = "Signature expired: 1 is now earlier than 2"
            if ahead < timedelta(0):
                text = "Signature not yet current: 2 is still later than 1"
            headers = {
                "x-amzn-ErrorType": "InvalidSignatureException",
                "Date": format_datetime(now(), usegmt=True),
            }
            return web.json_response({"message": text}, status=403, headers=headers)
        assert f"/{signed:%Y%m%d}/" in request.headers["Authorization"]
        return await fake.bring(request)

    fake.media = judge
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, credentials=Keys(key_of(1))
    )
    assert await read(client) == b"onetwo"
    assert await read(client) == b"onetwo"
    paths = [path for path, _, _ in fake.asked]
    assert paths == ["/getDataEndpoint", "/getMedia", "/getMedia", "/getMedia"]


@pytest.mark.parametrize(
    ("cause", "role", "error"),
    [
        (AwsUnavailableError("busy"), ROLE, MediaUnavailableError),
        (AwsDeniedError("AccessDenied"), ROLE, RoleDeniedError),
        (AwsRejectedError("not a role"), ROLE, RoleDeniedError),
        (AwsDeniedError("no such profile"), None, AccessDeniedError),
    ],
    ids=["sts away", "role denied", "no role", "no credentials"],
)
async def test_no_key_to_be_had(
    session: aiohttp.ClientSession, cause: AwsError, role: str | None, error: type[Exception]
) -> None:
    """What is only away is tried again; a role that may not be assumed is told from the stream."""

    async def find(
        role_arn: str | None, *, expired: ReadOnlyCredentials | None = None
    ) -> ReadOnlyCredentials:
        del role_arn, expired
        raise cause

    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url="http://127.0.0.1:1", credentials=find
    )
    with pytest.raises(error) as caught:
        async with client.get_media(ARN, {"StartSelectorType": "NOW"}, role_arn=role):
            pass
    assert type(caught.value) is error


async def test_throttling_does_not_ask_for_the_endpoint_again(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """GetDataEndpoint has a limit of its own, five calls a second."""
    fake, url = service

    async def throttle(request: web.Request) -> web.Response:
        del request
        headers = {"x-amzn-ErrorType": "ClientLimitExceededException"}
        return web.json_response({"Message": "slow down"}, status=400, headers=headers)

    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url)
    fake.media = throttle
    for _ in range(3):
        with pytest.raises(ThrottledError):
            await read(client)
    fake.media = fake.bring
    await read(client)
    assert [path for path, _, _ in fake.asked] == ["/getDataEndpoint", *["/getMedia"] * 4]


async def test_an_old_endpoint_is_better_than_none(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """When its time is over and the control plane is away, the last answer goes on being used."""
    fake, url = service
    clock = ManualClock()
    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url, clock=clock)
    await read(client)
    clock.advance(3600)
    fake.endpoint_answer = {"DataEndpoint": None}
    assert await read(client) == b"onetwo"


async def test_endpoint_is_asked_again_after_an_error(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """After a failed GetMedia the data endpoint is asked for anew."""
    fake, url = service

    async def fail(request: web.Request) -> web.Response:
        del request
        return web.Response(status=503, text="<html>")

    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url)
    fake.media = fail
    with pytest.raises(MediaUnavailableError, match=r"HTTP \(503\)"):
        await read(client)
    fake.media = fake.bring
    await read(client)
    paths = [path for path, _, _ in fake.asked]
    assert paths == ["/getDataEndpoint", "/getMedia"] * 2


async def test_connection_that_breaks(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """A body cut off in its middle is unavailable media, after what had come."""
    fake, url = service

    async def break_off(request: web.Request) -> web.StreamResponse:
        response = await fake.bring(request)
        assert request.transport is not None
        request.transport.abort()
        return response

    fake.media = break_off
    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url)
    with pytest.raises(MediaUnavailableError, match="cannot be read"):
        await read(client)


async def test_silence(service: tuple[FakeService, str], session: aiohttp.ClientSession) -> None:
    """A body that is silent for too long is unavailable media."""
    fake, url = service

    gone = asyncio.Event()

    async def fall_silent(request: web.Request) -> web.StreamResponse:
        response = await fake.bring(request)
        await gone.wait()
        return response

    fake.media = fall_silent
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, read_timeout_seconds=0.05
    )
    with pytest.raises(MediaUnavailableError, match="silent"):
        await read(client)
    gone.set()


async def test_a_silent_stream_that_has_moved_is_left(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """Its home hangs; the control plane knows another one by now, which the next call goes to."""
    fake, url = service
    gone = asyncio.Event()

    async def fall_silent(request: web.Request) -> web.StreamResponse:
        response = await fake.bring(request)
        await gone.wait()
        return response

    fake.media = fall_silent
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, look_again_seconds=0.02
    )

    async def move() -> None:
        while [path for path, _, _ in fake.asked].count("/getDataEndpoint") < 3:  # noqa: ASYNC110  # of a server in this loop
            await asyncio.sleep(0.01)
        fake.endpoint_answer = {"DataEndpoint": url.replace("127.0.0.1", "localhost")}

    moving = asyncio.create_task(move())
    async with asyncio.timeout(20):
        with pytest.raises(MediaUnavailableError, match="another endpoint"):
            await read(client)
        await moving
        fake.media = fake.bring
        gone.set()
        assert await read(client) == b"onetwo"
    assert fake.asked[-1][2]["Host"].startswith("localhost:")


async def test_only_the_own_certificate_is_not_verified(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The control process is on this machine; whoever answers for another replica shows who it is."""
    fake = FakeService()
    app = web.Application()
    app.router.add_post("/getDataEndpoint", fake.endpoint)
    app.router.add_post("/getMedia", fake.get_media)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*self_signed(tmp_path))
    own = TestServer(app, scheme="https", host="127.0.0.1")
    await own.start_server(ssl=tls)
    try:
        url = str(own.make_url("/"))
        client = KinesisVideoClient(
            session=session, region="us-east-1", endpoint_url=url, unverified_urls=(url,)
        )
        assert await read(client) == b"onetwo"
        fake.endpoint_answer = {"DataEndpoint": url.replace("127.0.0.1", "localhost")}
        client = KinesisVideoClient(
            session=session, region="us-east-1", endpoint_url=url, unverified_urls=(url,)
        )
        with pytest.raises(MediaUnavailableError, match="certificate"):
            await read(client)
    finally:
        await own.close()


async def test_nobody_listens(session: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    """Without a server the stream is unavailable."""
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=f"http://127.0.0.1:{unused_tcp_port}"
    )
    with pytest.raises(MediaUnavailableError, match="cannot be read"):
        await read(client)


async def test_strange_data_endpoint(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """A data endpoint that is no URL is not called."""
    fake, url = service
    fake.endpoint_answer = {"DataEndpoint": "file:///etc"}
    client = KinesisVideoClient(session=session, region="us-east-1", endpoint_url=url)
    with pytest.raises(MediaUnavailableError, match="GetDataEndpoint answered"):
        await read(client)


@pytest.mark.parametrize(
    ("stream", "address"),
    [
        ("front-door", {"StreamName": "front-door"}),
        (ARN, {"StreamName": "front-door"}),
        (f"{ARN}/1700000000123", {"StreamARN": f"{ARN}/1700000000123"}),
    ],
)
def test_stream_address(stream: str, address: dict[str, str]) -> None:
    """Only an ARN with the creation time is sent as an ARN."""
    assert stream_address(stream) == address


async def test_the_embedded_endpoint_is_told_the_account(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """In a signed header, with both calls; streams of one name in two accounts are two."""
    fake, url = service

    key = Keys(ReadOnlyCredentials("AKIATEST", "secret", None, None))

    client = KinesisVideoClient(
        session=session,
        region="us-east-1",
        endpoint_url=url,
        credentials=key,
        account_header="x-streamd-account",
    )
    for account_id in ("111111111111", "222222222222"):
        selector = {"StartSelectorType": "NOW"}
        async with client.get_media("cam", selector, account_id=account_id) as media:
            assert b"".join([chunk async for chunk in media.chunks()]) == b"onetwo"
    assert [(path, headers["x-streamd-account"]) for path, _, headers in fake.asked] == [
        ("/getDataEndpoint", "111111111111"),
        ("/getMedia", "111111111111"),
        ("/getDataEndpoint", "222222222222"),
        ("/getMedia", "222222222222"),
    ]
    for _, _, headers in fake.asked:
        assert "x-streamd-account" in headers["Authorization"].partition("SignedHeaders=")[2]
