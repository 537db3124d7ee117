"""The page itself: a handful of files that are part of the package, and their headers.

Built from ``web/`` with ``make console``; no Node.js is needed to serve them. The page may load
from here alone, run no script but its own, and stand in nobody's frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from aiohttp import web

__all__ = ["OPEN_PATHS", "SECURITY_HEADERS", "Page"]

PREFIX: Final = "/console"
_TYPES: Final = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "index.html": "text/html",
}
OPEN_PATHS: Final = frozenset(
    {PREFIX, f"{PREFIX}/", f"{PREFIX}/api/settings", *(f"{PREFIX}/{name}" for name in _TYPES)}
)
"""What a browser gets without a signature: it cannot sign before it has the page."""

SECURITY_HEADERS: Final = {
    # Pictures come as blobs, because an <img> cannot sign.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, kw_only=True)
class _Asset:
    body: bytes
    content_type: str
    etag: str


class Page:
    """Serves the files; they are held in memory, so that no path of a request meets a disk."""

    def __init__(self) -> None:
        folder = resources.files("streamd.console") / "static"
        self._assets = {
            name: _asset((folder / name).read_bytes(), content_type)
            for name, content_type in _TYPES.items()
        }

    def add_routes(self, app: web.Application) -> None:
        """Serve every file under its name, and the page at ``/console``."""
        app.router.add_get(PREFIX, self._to_page)
        app.router.add_get(f"{PREFIX}/", self._serve)
        for name in self._assets:
            app.router.add_get(f"{PREFIX}/{name}", self._serve)

    async def _to_page(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=308, headers={"Location": f"{PREFIX}/", **SECURITY_HEADERS})

    async def _serve(self, request: web.Request) -> web.Response:
        asset = self._assets[request.path.rpartition("/")[2] or "index.html"]
        headers = {
            **SECURITY_HEADERS,
            # Another version of the daemon has another page: always ask.
            "Cache-Control": "no-cache",
            "ETag": f'"{asset.etag}"',
        }
        if any(tag.value == asset.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        response = web.Response(
            body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers
        )
        response.enable_compression()
        return response


def _asset(body: bytes, content_type: str) -> _Asset:
    return _Asset(body=body, content_type=content_type, etag=hashlib.sha256(body).hexdigest()[:32])
