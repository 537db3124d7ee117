"""The webhook sink against real servers on the loopback."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streamd.config import WebhookSettings
from streamd.errors import ConfigError
from streamd.records import OutboxItem
from streamd.sinks import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.webhook import WebhookSink, signature
from tests.support.certificates import self_signed
from tests.support.clock import ManualClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZA=="
NOW = 1_700_000_000

Handler = Callable[[web.Request], Any]


def notification(number: int, *, topic: str = "porch", size: int = 0) -> OutboxItem:
    return OutboxItem(
        kind="sns",
        target=f"arn:aws:sns:us-east-1:111122223333:{topic}",
        key="door",
        content_type="application/json",
        body=b'{"n":%d}' % number + b" " * size,
        attributes={"event_id": f"e-{number}", "subject": "S"},
        kept_ms=NOW * 1000 - 5_000,
    )


class Receiver:
    """A server that keeps what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.port = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.path, headers, body))
        await self.answering.wait()
        status, more = self.answers.pop(0) if self.answers else (204, {})
        return web.Response(status=status, headers=more)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.requests]


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    assert runner.addresses
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.answering.set()
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def opened(port: int, **settings: object) -> AsyncIterator[WebhookSink]:
    values = {"url": f"http://127.0.0.1:{port}/hooks/{{topic}}", "secret": SECRET, **settings}
    sink = WebhookSink(WebhookSettings.model_validate(values), clock=ManualClock(NOW))
    await sink.open()
    try:
        yield sink
    finally:
        await sink.aclose()
        await sink.aclose()


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of Standard Webhooks, made by another implementation."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    body = b'{"test": 2432232314}'
    assert (
        signature(key, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


async def test_a_notification_is_a_signed_post(receiver: Receiver) -> None:
    """The envelope of SNS; id, time and signature in headers; the topic in the URL."""
    async with opened(receiver.port, headers={"X-Key": "k"}) as sink:
        await sink.deliver([notification(1)])
    ((path, headers, body),) = receiver.requests
    assert path == "/hooks/porch"
    assert json.loads(body) == {
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:porch",
        "Subject": "S",
        "Message": '{"n":1}',
        "MessageId": "e-1",
        "Timestamp": "2023-11-14T22:13:15.000Z",
    }
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = hmac.digest(key, b"e-1.1700000000." + body, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("e-1", "1700000000")
    assert (headers["content-type"], headers["x-key"]) == ("application/json", "k")


async def test_both_keys_sign_while_they_change(receiver: Receiver) -> None:
    """A receiver with either accepts."""
    async with opened(receiver.port, previous_secret=OLD_SECRET) as sink:
        await sink.deliver([notification(1)])
    ((_, headers, body),) = receiver.requests
    expected = [
        signature(
            base64.b64decode(secret.removeprefix("whsec_")),
            message_id="e-1",
            timestamp=NOW,
            body=body,
        )
        for secret in (SECRET, OLD_SECRET)
    ]
    assert headers["webhook-signature"].split(" ") == expected


async def test_notifications_keep_their_order(receiver: Receiver) -> None:
    """One at a time, each after the acknowledgement of the one before."""
    async with opened(receiver.port) as sink:
        await sink.deliver([notification(number) for number in range(20)])
    assert receiver.ids == [f"e-{number}" for number in range(20)]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (500, SinkUnavailableError, "webhook of topic porch answered 500"),
        (503, SinkUnavailableError, "webhook of topic porch answered 503"),
        (429, SinkUnavailableError, "webhook of topic porch answered 429"),
        (408, SinkUnavailableError, "webhook of topic porch answered 408"),
        (425, SinkUnavailableError, "webhook of topic porch answered 425"),
        (400, SinkRejectedError, "1 refused: webhook of topic porch answered 400"),
        (401, SinkRejectedError, "1 refused: webhook of topic porch answered 401"),
        (404, SinkRejectedError, "1 refused: webhook of topic porch answered 404"),
        (410, SinkGoneError, "webhook of topic porch answered 410: it takes nothing any more"),
    ],
)
async def test_an_answer_says_what_becomes_of_a_notification(
    receiver: Receiver, status: int, kind: type[SinkError], message: str
) -> None:
    """Tried again, refused for good, or no more of them; the one before has arrived."""
    receiver.answers = [(200, {}), (status, {})]
    async with opened(receiver.port) as sink:
        with pytest.raises(kind) as caught:
            await sink.deliver([notification(1), notification(2), notification(3)])
    assert str(caught.value) == message
    assert caught.value.settled == frozenset({0})
    assert receiver.ids == ["e-1", "e-2"]


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It could lead a signed message anywhere."""
    receiver.answers = [(307, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})]
    async with opened(receiver.port) as sink:
        with pytest.raises(SinkRejectedError, match="a redirect, which is not followed"):
            await sink.deliver([notification(1)])
    assert [path for path, _, _ in receiver.requests] == ["/hooks/porch"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (email.utils.formatdate(NOW + 30, usegmt=True), 30.0),
        (email.utils.formatdate(NOW - 30, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
    ],
    ids=["seconds", "date", "past", "nonsense", "negative", "endless"],
)
async def test_retry_after_is_told_to_the_back_off(
    receiver: Receiver, value: str, seconds: float | None
) -> None:
    """Seconds or a date; whatever else it holds is passed over."""
    receiver.answers = [(503, {"Retry-After": value})]
    async with opened(receiver.port) as sink:
        with pytest.raises(SinkUnavailableError) as caught:
            await sink.deliver([notification(1)])
    assert caught.value.retry_after_seconds == seconds


async def test_a_receiver_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    """The message names no URL, which may hold a token."""
    async with opened(unused_tcp_port) as sink:
        with pytest.raises(SinkUnavailableError) as caught:
            await sink.deliver([notification(1)])
    text = str(caught.value)
    assert text.startswith("webhook of topic porch cannot be reached: ")
    assert "hooks" not in text


async def test_a_receiver_that_hangs_is_unavailable(receiver: Receiver) -> None:
    """The time-out covers the whole request."""
    receiver.answering.clear()
    async with opened(receiver.port, timeout_seconds=0.1) as sink:
        with pytest.raises(SinkUnavailableError, match="takes too long"):
            await sink.deliver([notification(1)])


async def test_a_long_message_is_refused(receiver: Receiver) -> None:
    """As SNS does; it is not sent."""
    async with opened(receiver.port) as sink:
        with pytest.raises(SinkRejectedError, match="bytes, webhooks take 262144") as caught:
            await sink.deliver([notification(1), notification(2, size=256 * 1024)])
    assert (caught.value.settled, set(caught.value.rejected)) == (frozenset({0}), {1})
    assert receiver.ids == ["e-1"]


async def test_an_endless_answer_is_not_read() -> None:
    """What a receiver says beyond its status is of no interest."""

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await pour(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, opened(server.sockets[0].getsockname()[1]) as sink:
        async with asyncio.timeout(10):
            await sink.deliver([notification(1)])


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    """A stranger's is refused before anything is sent; the CA of the settings is accepted."""
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with receiving(context) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/"
        async with opened(receiver.port, url=url) as sink:
            with pytest.raises(SinkUnavailableError, match="certificate is not accepted: self"):
                await sink.deliver([notification(1)])
        assert receiver.requests == []
        async with opened(receiver.port, url=url, ssl_cafile=certificate) as sink:
            await sink.deliver([notification(2)])
        assert receiver.ids == ["e-2"]


def test_a_ca_that_is_not_there_is_an_error_of_the_settings(tmp_path: Path) -> None:
    """It is found when the daemon starts."""
    settings = WebhookSettings.model_validate(
        {"url": "https://h/", "secret": SECRET, "ssl_cafile": tmp_path / "absent.pem"}
    )
    with pytest.raises(ConfigError, match=r"'webhook\.ssl_cafile' cannot be loaded"):
        WebhookSink(settings, clock=ManualClock())


async def test_a_check_sends_nothing(receiver: Receiver) -> None:
    """Only the topic's name can be wrong."""
    async with opened(receiver.port) as sink:
        await sink.check(notification(1).target)
        with pytest.raises(SinkGoneError, match="not found"):
            await sink.check("arn:aws:sns:us-east-1:111122223333:a/b")
    assert receiver.requests == []
