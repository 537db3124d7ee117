"""The page's files: served from memory, safe headers, and what the source builds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from streamd.console.page import OPEN_PATHS, Page

CONSOLE = Path(__file__).parents[3] / "streamd" / "console"
WEB = CONSOLE / "web"

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    Page().add_routes(app)
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def test_every_file_of_the_page_is_served(client: Client) -> None:
    """The page names its script, style and icon, and each is there with its type."""
    async with client.get("/console/") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        html = await answer.text()
    named = set(re.findall(r'(?:src|href)="([^"]+)"', html))
    assert named == {"/console/console.js", "/console/console.css", "/console/icon.svg"}
    assert named < OPEN_PATHS
    types = set()
    for path in named:
        async with client.get(path) as answer:
            assert answer.status == 200
            types.add(answer.content_type)
    assert types == {"text/javascript", "text/css", "image/svg+xml"}


async def test_the_page_has_one_address(client: Client) -> None:
    """Without its slash it leads to the one with it, wherever it was called."""
    async with client.get("/console", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (308, "/console/")


async def test_headers_keep_the_page_to_itself(client: Client) -> None:
    """No foreign script, no inline script, no frame around it, no sniffing, no referrer."""
    async with client.get("/console/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_a_browser_that_has_the_file_is_told_so(client: Client) -> None:
    """The same ETag answers 304 without a body; browsers are told to ask."""
    async with client.get("/console/console.js") as first:
        assert first.headers["Cache-Control"] == "no-cache"
        tag = first.headers["ETag"]
    async with client.get("/console/console.js", headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/console/../pyproject.toml", "/console/%2e%2e/page.py", "/console/web/package.json"]
)
async def test_nothing_else_is_served(client: Client, path: str) -> None:
    """Files are found by name alone: no path leads out of the page."""
    async with client.get(URL(path, encoded=True)) as answer:
        assert answer.status == 404


def test_the_page_asks_nobody_else() -> None:
    """No address of another host is in the built files but the names of XML and links to docs."""
    for path in (CONSOLE / "static").iterdir():
        found = re.findall(r"https?://[\w.-]+", path.read_text())
        assert set(found) <= {"http://www.w3.org"}, path.name


def _npm(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *arguments],
        cwd=WEB,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def node_modules() -> None:
    """The tools that build the page, as its lock file has them."""
    if shutil.which("npm") is None:
        pytest.skip("no Node.js here: the page is built with npm")
    if not (WEB / "node_modules" / ".bin" / "vite").exists():
        pytest.skip("the tools that build the page are not installed: make console")


@pytest.mark.slow
@pytest.mark.usefixtures("node_modules")
def test_a_rebuild_gives_the_same_files(tmp_path: Path) -> None:
    """What is committed is what the source builds. If it is not: make console."""
    done = _npm("run", "--silent", "build", CONSOLE_OUT=str(tmp_path / "static"))
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir()}
    there = {path.name: path.read_bytes() for path in (CONSOLE / "static").iterdir()}
    assert sorted(built) == sorted(there)
    assert [name for name in built if built[name] != there[name]] == []


@pytest.mark.slow
@pytest.mark.usefixtures("node_modules")
def test_the_source_of_the_page_is_sound() -> None:
    """Strict types, one format, and its own unit tests."""
    for script in ("check", "test"):
        done = _npm("run", "--silent", script)
        assert done.returncode == 0, done.stdout + done.stderr
