"""The port: connections bounded in number and patience, a certificate that can be renewed."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from streamd import descriptors
from streamd.config import ServerSettings
from streamd.errors import ConfigError
from streamd.watch import watching

__all__ = ["MAX_FIELD_BYTES", "MAX_HEADERS", "MAX_LINE_BYTES", "listening"]

logger = logging.getLogger(__name__)

HTTP_SHUTDOWN_SECONDS = 2.0
"""How long open connections may finish once everything that feeds them has ended."""
KEEPALIVE_SECONDS = 75.0
"""How long a connection may wait for its next request."""
TLS_HANDSHAKE_SECONDS = 15.0
LINGER_SECONDS = 1.0
"""How long a refused client may take to read why."""
MAX_LINE_BYTES = 16 * 1024
"""Request line: a signed query is about 1 KB."""
MAX_FIELD_BYTES = 16 * 1024
"""One header; session tokens of real credentials reach some kilobytes."""
MAX_HEADERS = 100

_BUSY_BODY = json.dumps(
    {"__type": "ServiceUnavailable", "message": "Too many connections."}
).encode()
_BUSY = b"\r\n".join(
    (
        b"HTTP/1.1 503 Service Unavailable",
        b"Server: streamd",
        b"Content-Type: application/json",
        b"x-amzn-ErrorType: ServiceUnavailable",
        b"Retry-After: 1",
        b"Connection: close",
        b"Content-Length: " + str(len(_BUSY_BODY)).encode(),
        b"",
        _BUSY_BODY,
    )
)


class _Port:
    """What all connections share."""

    def __init__(self, server: web.Server, settings: ServerSettings) -> None:
        self.server = server
        self.max_connections = settings.max_connections
        self.open_connections = 0
        self.head_seconds = settings.request_timeout_seconds
        self._refused = 0
        self._told_at = float("-inf")

    def note_refused(self) -> None:
        """Say that somebody was sent away, once a minute at most."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now >= self._told_at + 60:
            logger.warning(
                "connections refused: server.max_connections, or what the limit of open files "
                "leaves for them, are open",
                extra={"count": self._refused, "open": self.open_connections},
            )
            self._told_at, self._refused = now, 0


class _Connection(web.RequestHandler):
    """One connection: refused when there are too many, closed when a head does not come."""

    __slots__ = ("_deadline", "_is_counted", "_port")

    def __init__(self, port: _Port, **options: Any) -> None:
        super().__init__(port.server, loop=asyncio.get_running_loop(), **options)
        self._port = port
        self._deadline: asyncio.TimerHandle | None = None
        self._is_counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        allowed = min(self._port.max_connections, descriptors.connections_allowed())
        if self._port.open_connections >= allowed:
            self._port.note_refused()
            self._refuse(cast(asyncio.Transport, transport))
            return
        self._port.open_connections += 1
        self._is_counted = True
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Parse what came; between requests, the clock runs from a head's first byte."""
        if not self._is_counted:
            return
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._cancel_deadline()
        elif self._waiter is not None and self._deadline is None:
            self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._cancel_deadline()
        if self._is_counted:
            self._is_counted = False
            self._port.open_connections -= 1
            super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; neither answer nor log repeat what a stranger sent."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        too_long = isinstance(exc, LineTooLong)
        text = "A header is too long." if too_long else "This is no valid HTTP request."
        logger.info("request refused: %s", text, extra={"peer": request.remote})
        response = web.Response(
            status=431 if too_long else 400,
            text=json.dumps({"__type": "SerializationException", "message": text}),
            content_type="application/json",
            headers={"Server": "streamd"},
        )
        response.force_close()
        return response

    def _refuse(self, transport: asyncio.Transport) -> None:
        transport.write(_BUSY)
        if transport.can_write_eof():
            transport.write_eof()
        # Closed at once, with the request still unread, the system would reset the connection
        # and the client might never see the answer.
        self._deadline = asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)

    def _expect_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._port.head_seconds, self._give_up)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        logger.info("connection closed: no request came in time")
        self.force_close()


@asynccontextmanager
async def listening(app: web.Application, settings: ServerSettings) -> AsyncIterator[str]:
    """Serve the application; yields the URL it is reached at on this machine.

    Raises:
        ConfigError: If the address or the certificate cannot be used.

    """
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=HTTP_SHUTDOWN_SECONDS, handler_cancellation=True
    )
    await runner.setup()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        tls = await stack.enter_async_context(_tls(settings))
        assert runner.server is not None
        port = _Port(runner.server, settings)

        def connection() -> _Connection:
            return _Connection(
                port,
                access_log=None,
                # Signatures cover a body as it came, and no client of these services compresses.
                auto_decompress=False,
                keepalive_timeout=KEEPALIVE_SECONDS,
                max_line_size=MAX_LINE_BYTES,
                max_field_size=MAX_FIELD_BYTES,
                max_headers=MAX_HEADERS,
            )

        try:
            server = await asyncio.get_running_loop().create_server(
                connection,
                settings.host,
                settings.port,
                ssl=tls,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if tls else None,
                backlog=1024,
            )
        except OSError as error:
            raise ConfigError(
                f"'server.listen': cannot listen on {settings.listen}: {error.strerror}; "
                "choose another --listen HOST:PORT"
            ) from error
        # First no new connections, then the ends of the others.
        stack.callback(server.close)
        bound = server.sockets[0].getsockname()[1]
        yield f"http{'s' if tls else ''}://{_own_host(settings.host)}:{bound}"


def _own_host(host: str) -> str:
    """Return how this machine reaches an address it listens on."""
    host = "127.0.0.1" if host in ("0.0.0.0", "localhost") else host  # noqa: S104  # compared, not bound
    host = "::1" if host == "::" else host
    return f"[{host}]" if ":" in host else host


@asynccontextmanager
async def _tls(settings: ServerSettings) -> AsyncIterator[ssl.SSLContext | None]:
    """Make the TLS context, and renew its certificate when the files change."""
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        yield None
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"'server.tls_cert' cannot be used: {error}") from error

    def renew() -> None:
        _renew(context, certificate, key)

    async with watching([certificate, key], renew):
        yield context


def _renew(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # Tried apart: half of a pair must not get into the context that serves.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        # Certificate and key are seldom replaced in one step; the next change is another try.
        logger.warning("certificate not changed: %s cannot be used: %s", certificate, error)
        return
    logger.info("certificate read again: %s", certificate)
