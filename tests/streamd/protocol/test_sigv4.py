"""Facts about the middleware, on a real aiohttp server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient, TestServer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from streamd.clock import SystemClock
from streamd.protocol.identity import AccessKey, Identity, KeyRing
from streamd.protocol.sigv4 import IDENTITY, REQUEST_SECONDS, Verifier, auth_middleware

KEY_ID, SECRET, REGION = "AKIDEXAMPLE", "secret", "us-east-1"

Open = Callable[..., Awaitable[TestServer]]


OWN_KEY = AccessKey(
    access_key_id="STREAMDOWN", secret=SECRET, account_id="000000000000", acts_for_others=True
)
THEIR_KEY = AccessKey(access_key_id=KEY_ID, secret=SECRET, account_id="222222222222")


def _who(request: web.Request) -> str | None:
    identity = request.get(IDENTITY)
    return identity.access_key_id if identity else None


async def account(request: web.Request) -> web.Response:
    identity = request[IDENTITY]
    return web.json_response({"account": identity.account_id, "own": identity.is_internal})


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"length": len(body), "who": _who(request)})


async def first_bytes(request: web.Request) -> web.Response:
    # Answers while the body is still on its way.
    chunk = await request.content.readany()
    return web.json_response({"chunk": chunk.decode()})


@pytest.fixture
async def open_server() -> AsyncIterator[Open]:
    servers: list[TestServer] = []

    async def open_(*, authenticate: bool = True) -> TestServer:
        verifier = Verifier(KeyRing.of({KEY_ID: SECRET}), region=REGION, clock=SystemClock())
        app = web.Application(
            middlewares=[auth_middleware(verifier if authenticate else None)],
            client_max_size=100_000,
        )
        app.router.add_post("/", echo)
        app.router.add_post("/createStream", echo)
        app.router.add_post("/putMedia", first_bytes)
        app.router.add_get("/healthz", echo)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return server

    yield open_
    for server in servers:
        await server.close()


def sign(url: str, body: bytes, *, service: str, method: str = "POST") -> dict[str, str]:
    request = AWSRequest(method=method, url=url, data=body)
    SigV4Auth(Credentials(KEY_ID, SECRET), service, REGION).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


async def post(
    server: BaseTestServer, path: str, body: Any, headers: dict[str, str]
) -> tuple[int, Any, Any]:
    url = URL(str(server.make_url(path)), encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None), response.headers


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "rekognition"),
        ("/createStream", "kinesisvideo"),
        ("/createStream?a=%20b", "kinesisvideo"),
    ],
)
async def test_signed_requests_reach_the_handler_with_their_body(
    open_server: Open, path: str, service: str
) -> None:
    """The body is verified once and there for the handler, which sees who signed."""
    server = await open_server()
    headers = sign(f"{server.make_url('/')}".rstrip("/") + path, b"x" * 70_000, service=service)
    status, answer, _ = await post(server, path, b"x" * 70_000, headers)
    assert (status, answer) == (200, {"length": 70_000, "who": KEY_ID})


async def test_unsigned_requests_are_refused_in_the_services_form(open_server: Open) -> None:
    """Rekognition's refusal is AWS JSON, Kinesis Video's REST-JSON."""
    server = await open_server()
    status, answer, headers = await post(server, "/", b"{}", {})
    assert status == 400
    assert answer["__type"] == "MissingAuthenticationTokenException"
    assert answer["Message"] == "Missing Authentication Token"
    assert "Date" in headers  # SDKs mend a skewed clock with it
    status, answer, headers = await post(server, "/createStream", b"{}", {})
    assert status == 400
    assert answer == {"Message": "Missing Authentication Token"}
    assert headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


async def test_a_changed_body_is_refused(open_server: Open) -> None:
    """The body is part of the signature."""
    server = await open_server()
    headers = sign(str(server.make_url("/")), b"{}", service="rekognition")
    status, answer, _ = await post(server, "/", b"{ }", headers)
    assert (status, answer["__type"]) == (400, "InvalidSignatureException")


async def test_the_scope_must_be_the_services(open_server: Open) -> None:
    """A signature for Kinesis Video opens no door to Rekognition."""
    server = await open_server()
    headers = sign(str(server.make_url("/")), b"{}", service="kinesisvideo")
    _, answer, _ = await post(server, "/", b"{}", headers)
    assert answer["Message"] == "Credential should be scoped to correct service: 'rekognition'."


async def test_put_media_is_not_read_before_its_handler(open_server: Open) -> None:
    """A producer's endless body goes to the handler as it comes."""
    server = await open_server()
    url = str(server.make_url("/putMedia"))
    headers = sign(url, b"", service="kinesisvideo")
    answered = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"first"
        await answered.wait()

    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=endless(), headers=headers) as response,
    ):
        assert await response.json() == {"chunk": "first"}
        answered.set()


async def test_probes_need_no_signature(open_server: Open) -> None:
    """Health and metrics are open."""
    server = await open_server()
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/healthz")) as response,
    ):
        assert response.status == 200


async def test_without_a_verifier_everything_passes(open_server: Open) -> None:
    """auth.mode none asks nobody."""
    server = await open_server(authenticate=False)
    status, answer, _ = await post(server, "/", b"{}", {})
    assert (status, answer) == (200, {"length": 2, "who": None})


async def test_a_body_over_the_limit_is_refused(open_server: Open) -> None:
    """A signed body that is too long is answered 413, not read to its end."""
    server = await open_server()
    body = b"x" * 200_000
    headers = sign(str(server.make_url("/")), body, service="rekognition")
    status, answer, _ = await post(server, "/", body, headers)
    assert (status, answer["__type"]) == (413, "RequestEntityTooLargeException")


async def _account_of(
    *, key_id: str, header: str | None, signs_header: bool = True, anonymous: bool = False
) -> tuple[int, Any]:
    """Return the answer to a call with this key that says it acts for an account."""
    verifier = Verifier(KeyRing([OWN_KEY, THEIR_KEY]), region=REGION, clock=SystemClock())
    unsigned = Identity(account_id="000000000000") if anonymous else None
    app = web.Application(middlewares=[auth_middleware(verifier, anonymous=unsigned)])
    app.router.add_post("/createStream", account)
    async with TestServer(app) as server:
        url = str(server.make_url("/createStream"))
        named = {} if header is None else {"X-Streamd-Account": header}
        request = AWSRequest(
            method="POST", url=url, data=b"{}", headers=named if signs_header else {}
        )
        if key_id:
            SigV4Auth(Credentials(key_id, SECRET), "kinesisvideo", REGION).add_auth(request)
        headers = {**dict(request.headers.items()), **named}
        status, answer, _ = await post(server, "/createStream", b"{}", headers)
        return status, answer


@pytest.mark.parametrize(
    ("key_id", "header", "signs_header", "account_id"),
    [
        (KEY_ID, None, True, "222222222222"),
        (KEY_ID, "333333333333", True, "222222222222"),
        ("STREAMDOWN", None, True, "000000000000"),
        ("STREAMDOWN", "333333333333", True, "333333333333"),
        ("STREAMDOWN", "333333333333", False, "000000000000"),
    ],
)
async def test_only_the_daemons_own_key_acts_for_others(
    key_id: str, header: str | None, signs_header: bool, account_id: str
) -> None:
    """Every other key is its own account, whatever a header says; so is an unsigned header."""
    status, answer = await _account_of(key_id=key_id, header=header, signs_header=signs_header)
    assert status == 200
    assert answer == {"account": account_id, "own": key_id == "STREAMDOWN"}


async def test_a_key_that_is_not_known_is_looked_up_once() -> None:
    """The worker of a replica that has just started; a stranger's key stays unknown."""
    ring = KeyRing([THEIR_KEY])
    asked: list[str] = []

    async def look_up(access_key_id: str) -> None:
        asked.append(access_key_id)
        if access_key_id == OWN_KEY.access_key_id:
            ring.replace([THEIR_KEY, OWN_KEY])

    verifier = Verifier(ring, region=REGION, clock=SystemClock())
    app = web.Application(middlewares=[auth_middleware(verifier, look_up=look_up)])
    app.router.add_post("/createStream", account)
    async with TestServer(app) as server:
        url = str(server.make_url("/createStream"))
        answers = []
        for key_id in ("STREAMDOWN", "STREAMDOWN", KEY_ID, "AKIDSTRANGER"):
            request = AWSRequest(method="POST", url=url, data=b"{}")
            SigV4Auth(Credentials(key_id, SECRET), "kinesisvideo", REGION).add_auth(request)
            status, *_ = await post(server, "/createStream", b"{}", dict(request.headers.items()))
            answers.append(status)
    assert answers[:3] == [200, 200, 200]
    assert answers[3] in (400, 403)
    assert asked == ["STREAMDOWN", "AKIDSTRANGER"]


async def test_an_account_must_be_one() -> None:
    """Twelve digits."""
    status, answer = await _account_of(key_id="STREAMDOWN", header="3" * 13)
    assert (status, answer["Message"]) == (400, "x-streamd-account is no account id.")


async def test_unsigned_requests_act_for_nobody_else() -> None:
    """Where signatures are not asked for, the header still needs the daemon's own."""
    status, answer = await _account_of(key_id="", header=None, anonymous=True)
    assert (status, answer["account"]) == (200, "000000000000")
    status, answer = await _account_of(key_id="", header="333333333333", anonymous=True)
    assert (status, answer) == (400, {"Message": "Missing Authentication Token"})
    status, answer = await _account_of(key_id="STREAMDOWN", header="333333333333", anonymous=True)
    assert (status, answer["account"]) == (200, "333333333333")


async def test_a_body_is_waited_for_as_long_as_the_settings_say() -> None:
    """Then the answer is 408."""
    verifier = Verifier(KeyRing.of({KEY_ID: SECRET}), region=REGION, clock=SystemClock())
    app = web.Application(middlewares=[auth_middleware(verifier)])
    app[REQUEST_SECONDS] = 0.05
    app.router.add_post("/", echo)
    never = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async with TestServer(app) as server:
        headers = sign(str(server.make_url("/")), b"{}", service="rekognition")
        status, answer, _ = await post(server, "/", stuck(), headers)
    assert (status, answer["__type"]) == (408, "RequestTimeoutException")


async def test_a_secret_that_changes_under_its_key_id_counts_at_once() -> None:
    """What was derived from the old secret is not used any more."""
    ring = KeyRing.of({KEY_ID: SECRET})
    verifier = Verifier(ring, region=REGION, clock=SystemClock())
    app = web.Application(middlewares=[auth_middleware(verifier)])
    app.router.add_post("/", echo)
    async with TestServer(app) as server:
        headers = sign(str(server.make_url("/")), b"{}", service="rekognition")
        assert (await post(server, "/", b"{}", headers))[0] == 200
        ring.replace(KeyRing.of({KEY_ID: "another"}))
        _, answer, _ = await post(server, "/", b"{}", headers)
        assert answer["__type"] == "InvalidSignatureException"
        ring.replace([])
        _, answer, _ = await post(server, "/", b"{}", headers)
        assert answer["__type"] == "UnrecognizedClientException"


@pytest.mark.parametrize(
    ("origin", "host", "passes"),
    [
        (None, "127.0.0.1:8700", True),
        ("http://127.0.0.1:8700", "127.0.0.1:8700", True),
        ("http://localhost:8700", "localhost:8700", True),
        ("https://evil.example", "127.0.0.1:8700", False),
        ("http://evil.example:8700", "evil.example:8700", False),
        ("null", "127.0.0.1:8700", False),
    ],
    ids=["sdk", "own-page", "own-name", "foreign-page", "rebound-name", "sandboxed-page"],
)
async def test_unsigned_requests_of_foreign_pages_are_refused(
    origin: str | None, host: str, passes: bool
) -> None:
    """Where nobody signs, a web page the user looks at may not drive the daemon."""

    async def handler(request: web.Request) -> web.Response:
        del request
        return web.Response()

    verifier = Verifier(KeyRing.of({}), region=REGION, clock=SystemClock())
    unsigned = Identity(account_id="000000000000")
    app = web.Application(middlewares=[auth_middleware(verifier, anonymous=unsigned)])
    app.router.add_post("/createStream", handler)
    headers = {"Host": host, **({"Origin": origin} if origin is not None else {})}
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/createStream", headers=headers)
    assert (answer.status == 200) is passes
