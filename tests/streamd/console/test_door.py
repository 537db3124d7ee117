"""The door of the console's own calls: who is let in, how refusals look, what is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from streamd.config import AwsSettings
from streamd.console.door import Door
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.store import NotFoundError

Client = TestClient[web.Request, web.Application]
METRICS = Metrics(CollectorRegistry())


async def _call(request: web.Request, request_id: str) -> web.Response:
    match request.query.get("fail"):
        case "service":
            raise ServiceError("AccessDeniedException", "no")
        case "missing":
            raise NotFoundError("stream processor", "cam")
        case "bug":
            raise RuntimeError("secret detail")
    return web.json_response({"id": request_id})


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    door = Door(aws=AwsSettings(), metrics=METRICS)
    app.router.add_get("/console/api/x", door.handler("x", _call))
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("fail", "status", "code"),
    [
        ("service", 400, "AccessDeniedException"),
        ("missing", 400, "ResourceNotFoundException"),
        ("bug", 500, "InternalServerError"),
    ],
)
async def test_errors_have_the_form_of_the_api(
    client: Client, fail: str, status: int, code: str
) -> None:
    """Code and message as Rekognition's; what nobody foresaw tells nothing of itself."""
    async with client.get(f"/console/api/x?fail={fail}") as answer:
        assert answer.status == status
        body = await answer.json(content_type=None)
        assert body["__type"] == code
        assert "secret" not in body["Message"]
        assert answer.headers["Cache-Control"] == "no-store"


async def test_answers_are_kept_by_nobody_and_counted(client: Client) -> None:
    """Faces stay out of caches and foreign pages; metrics know the call by its name."""
    before = METRICS.api_requests.labels("console", "x", "OK")._value.get()
    async with client.get("/console/api/x") as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert METRICS.api_requests.labels("console", "x", "OK")._value.get() == before + 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 400),
        ({"Sec-Fetch-Site": "same-site"}, 400),
        ({"Host": "evil.example:8700"}, 400),
        ({"Host": "localhost:8700"}, 200),
        ({"Host": "192.168.1.5:8700"}, 200),
        ({"Host": "[::1]:8700"}, 200),
    ],
)
async def test_other_web_pages_are_refused(
    client: Client, headers: dict[str, str], status: int
) -> None:
    """Unsigned, neither another site nor a name that somebody pointed here gets in."""
    async with client.get("/console/api/x", headers=headers) as answer:
        assert answer.status == status
