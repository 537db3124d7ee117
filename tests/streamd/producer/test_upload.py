"""One PutMedia request: what ends it, and whether another try may help."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamd.kvs.acks import Acknowledgement, ErrorCode, EventType
from streamd.producer import upload
from streamd.producer.errors import EndpointError, RefusedError
from streamd.producer.upload import put_media
from tests.support.media import encode, moving_shapes, put_media_body
from tests.support.put_media_sink import PutMediaSink, serving


async def send(url: str, *, taken: list[Acknowledgement] | None = None) -> None:
    """Send two fragments."""

    async def body() -> AsyncIterator[bytes]:
        yield put_media_body(encode(moving_shapes(10), fps=10, gop=5))

    async with aiohttp.ClientSession() as session:
        await put_media(
            session,
            f"{url}/putMedia",
            stream_name="door",
            body=body(),
            signer=None,
            on_acknowledgement=(taken if taken is not None else []).append,
        )


async def test_every_acknowledgement_is_told() -> None:
    """In order, and the request ends when the answer does."""
    sink, taken = PutMediaSink(streams={"door": 1}), list[Acknowledgement]()
    async with serving(sink) as url:
        await send(url, taken=taken)
    assert [ack.event_type for ack in taken] == [EventType.RECEIVED, EventType.PERSISTED] * 2
    assert sink.headers[0]["x-amzn-stream-name"] == "door"
    assert sink.headers[0]["x-amzn-fragment-timecode-type"] == "ABSOLUTE"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (ErrorCode.INTERNAL_ERROR, EndpointError),
        (ErrorCode.MAX_CONNECTION_DURATION_REACHED, EndpointError),
        (ErrorCode.MAX_FRAGMENT_SIZE_REACHED, RefusedError),
        (ErrorCode.STREAM_DELETED, RefusedError),
    ],
    ids=lambda value: value.name if isinstance(value, ErrorCode) else "",
)
async def test_an_error_among_the_acknowledgements(code: ErrorCode, error: type[Exception]) -> None:
    """What passes is worth another connection, what does not has advice."""
    async with serving(PutMediaSink(error=code)) as url:
        with pytest.raises(error, match=code.name) as caught:
            await send(url)
    if isinstance(caught.value, RefusedError):
        assert caught.value.code == code.name
        assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("refusal", "error", "says"),
    [
        ((404, "ResourceNotFoundException", "no such stream"), RefusedError, "no such stream"),
        ((403, "AccessDeniedException", "no"), RefusedError, "AccessDeniedException"),
        ((500, "InternalFailure", "oops"), EndpointError, "oops"),
        ((400, "ClientLimitExceededException", "slow down"), EndpointError, "slow down"),
        ((400, "InvalidEndpointException", "moved"), EndpointError, "moved"),
        ((400, "ConnectionLimitExceededException", "x"), RefusedError, "another producer"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
async def test_a_refused_request(
    refusal: tuple[int, str, str], error: type[Exception], says: str
) -> None:
    """The code and the status say whether it is worth another try."""
    expected = EndpointError if refusal[1] in upload.PASSING_CODES else error
    async with serving(PutMediaSink(refuse=refusal)) as url:
        with pytest.raises(expected, match=says):
            await send(url)


async def test_a_wrong_key_has_its_next_step() -> None:
    """The environment is where put-media takes keys from."""
    async with serving(PutMediaSink(refuse=(403, "InvalidSignatureException", "no"))) as url:
        with pytest.raises(RefusedError) as caught:
            await send(url)
    assert caught.value.hint is not None
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


async def test_a_connection_that_breaks_is_worth_another() -> None:
    """What was not acknowledged is sent again by it."""
    async with serving(PutMediaSink(break_after=[1])) as url:
        with pytest.raises(EndpointError, match="broke"):
            await send(url)


async def test_nobody_there_is_an_endpoint_error(unused_tcp_port: int) -> None:
    """As is one that answers something else than acknowledgements."""
    with pytest.raises(EndpointError, match="broke"):
        await send(f"http://127.0.0.1:{unused_tcp_port}")

    async def page(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="<html>hello</html>\n")

    app = web.Application()
    app.router.add_post("/putMedia", page)
    async with TestServer(app) as server:
        with pytest.raises(EndpointError, match="is not Kinesis Video"):
            await send(str(server.make_url("")).rstrip("/"))
