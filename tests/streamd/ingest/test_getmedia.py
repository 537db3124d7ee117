"""The GetMedia client against a server that behaves, and one that does not."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamd.ingest.errors import (
    AccessDeniedError,
    MediaRejectedError,
    MediaSourceError,
    MediaUnavailableError,
    StreamNotFoundError,
    ThrottledError,
)
from streamd.ingest.getmedia import KinesisVideoClient, stream_address
from tests.support.certificates import self_signed
from tests.support.clock import ManualClock
from tests.support.video_service import ARN, FakeService, read


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
