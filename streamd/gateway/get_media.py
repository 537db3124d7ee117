"""GetMedia: fragments as they arrive, or as they were archived, in one endless answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from streamd.gateway.archive import StoredFragment
from streamd.gateway.chunks import chunk_head, chunk_tail
from streamd.gateway.cursor import Cursor, open_cursor
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError, FragmentDamagedError, FragmentGoneError
from streamd.gateway.http import endless_response
from streamd.gateway.live import FragmentState, LiveFragment, LiveStream, LiveStreams
from streamd.gateway.segments import READ_BYTES
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.resources import VideoStream

__all__ = ["MEDIA_TYPE", "ArchivedPieces", "GetMedia"]

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "video/webm"
WRITE_BYTES: Final = 256 * 1024
"""Of live media, at most, in one write: what a slow consumer holds in memory."""
POLL_SECONDS: Final = 5.0
"""How often a consumer that waits is checked to be still there."""


class ArchivedPieces:
    """Reads archived fragments, checked before their first byte is sent."""

    def __init__(self, door: ArchiveDoor, metrics: Metrics) -> None:
        self._door = door
        self._metrics = metrics

    async def send(
        self, fragment: StoredFragment, head: Callable[[bytes], bytes], response: web.StreamResponse
    ) -> None:
        """Write ``head(document header)`` and the fragment.

        Raises:
            FragmentDamagedError: Before anything was written; the fragment is dropped.
            FragmentGoneError: Retention was faster.

        """
        archive = self._door.archive

        def first() -> tuple[bytes, bytes]:
            return archive.header(fragment), archive.check(fragment)

        try:
            header, piece = await self._door.call(first)
        except FragmentDamagedError as error:
            logger.warning(
                "damaged fragment skipped",
                extra={"fragment": error.number, "reason": error.reason},
            )
            self._metrics.archive_fragments_lost.labels(error.reason).inc()
            await self._door.call(archive.drop, fragment)
            raise
        await response.write(head(header) + piece)
        offset = len(piece)
        while offset < fragment.size:
            size = min(READ_BYTES, fragment.size - offset)
            piece = await self._door.call(archive.read, fragment.place, offset, size)
            if not piece:
                raise ArchiveError(f"fragment {fragment.number} ends at byte {offset}")
            await response.write(piece)
            offset += len(piece)


class GetMedia:
    """The operation GetMedia."""

    def __init__(
        self,
        *,
        door: ArchiveDoor,
        live: LiveStreams,
        metrics: Metrics,
        idle_seconds: float,
        max_connection_seconds: float,
        find: Callable[[Mapping[str, Any]], Awaitable[VideoStream]],
        enter: Callable[[VideoStream], Awaitable[LiveStream]],
    ) -> None:
        self._door = door
        self._live = live
        self._metrics = metrics
        self._idle_seconds = idle_seconds
        self._max_connection_seconds = max_connection_seconds
        self._find = find
        self._enter = enter
        self._pieces = ArchivedPieces(door, metrics)

    async def call(
        self, request: web.Request, values: Mapping[str, Any], request_id: str
    ) -> web.StreamResponse:
        """Answer one request; returns when the answer is over."""
        stream = await self._enter(await self._find(values))
        try:
            if stream.is_gone:
                raise ServiceError("ResourceNotFoundException", "The stream is being deleted.")
            # The position comes first: what arrives once the client sees headers is not missed.
            cursor = await open_cursor(self._door, stream, values["StartSelector"])
            response = endless_response(request, content_type=MEDIA_TYPE, request_id=request_id)
            self._metrics.get_media_connections.inc()
            try:
                await response.prepare(request)
                await self._stream(request, response, stream, cursor)
                await response.write_eof()
            except ConnectionError:
                logger.debug("a consumer left", extra={"stream": stream.arn})
            except Exception:
                # The answer has begun: no error can be told any more, but it can end.
                logger.exception("GetMedia broke off", extra={"stream": stream.arn})
            finally:
                self._metrics.get_media_connections.dec()
            return response
        finally:
            self._live.leave(stream)

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        stream: LiveStream,
        cursor: Cursor,
    ) -> None:
        """Send fragment after fragment until the answer has to end."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        changed = stream.waiter()
        try:
            while loop.time() < started + self._max_connection_seconds:
                changed.clear()
                found = await cursor.next()
                if isinstance(found, LiveFragment):
                    if not await self._send_live(response, stream, found, changed):
                        return
                elif found is not None:
                    await self._send_archived(response, stream, found)
                elif stream.is_gone or not _is_connected(request):
                    return
                else:
                    wait = self._patience(stream, started)
                    if wait <= 0:
                        return
                    await _wait(changed, min(wait, POLL_SECONDS))
        finally:
            stream.forget(changed)

    def _patience(self, stream: LiveStream, started: float) -> float:
        """Return how long to wait for more, in seconds; 0 or less: the stream is idle."""
        if stream.upload is not None:
            return POLL_SECONDS
        idle_since = max(started, stream.upload_ended_at)
        return idle_since + self._idle_seconds - asyncio.get_running_loop().time()

    async def _send_archived(
        self, response: web.StreamResponse, stream: LiveStream, fragment: StoredFragment
    ) -> None:
        def head(header: bytes) -> bytes:
            return chunk_head(
                header,
                number=fragment.number,
                server_ms=fragment.server_ms,
                producer_ms=fragment.producer_ms,
            )

        try:
            await self._pieces.send(fragment, head, response)
        except FragmentDamagedError:
            return  # and on with the next
        except FragmentGoneError:
            logger.debug("a fragment was freed before it was sent")
            return
        await response.write(_tail(stream, fragment))

    async def _send_live(
        self,
        response: web.StreamResponse,
        stream: LiveStream,
        fragment: LiveFragment,
        changed: asyncio.Event,
    ) -> bool:
        """Send a fragment as it comes; returns whether it came to a good end."""
        data = chunk_head(
            fragment.header,
            number=fragment.number,
            server_ms=fragment.server_ms,
            producer_ms=fragment.producer_ms,
        )
        offset = 0
        while fragment.state is not FragmentState.FAILED:
            changed.clear()
            piece = await self._live_piece(fragment, offset)
            offset += len(piece)
            data += piece
            if data:
                await response.write(data)
                data = b""
            elif fragment.state is FragmentState.COMPLETE and offset >= fragment.size:
                await response.write(_tail(stream, fragment))
                return True
            elif fragment.state is FragmentState.TORN or stream.is_gone:
                # Cut short in a cluster that had said its size, or nothing more will come:
                # this answer ends between two blocks; the next call gets what is archived.
                return False
            else:
                await changed.wait()
        return False

    async def _live_piece(self, fragment: LiveFragment, offset: int) -> bytes:
        """Return the next bytes, from memory or, for a consumer that lags, from the archive."""
        if offset >= fragment.kept_from:
            return fragment.read(offset, WRITE_BYTES)
        assert fragment.place is not None, "only what is written leaves the memory"
        size = min(READ_BYTES, fragment.kept_from - offset)
        return await self._door.call(self._door.archive.read, fragment.place, offset, size)


def _tail(stream: LiveStream, fragment: StoredFragment | LiveFragment) -> bytes:
    behind = max(0, stream.newest_ms - fragment.server_ms)
    if stream.newest is None or stream.newest <= fragment.number:
        behind = 0
    return chunk_tail(fragment.number, millis_behind_now=behind)


def _is_connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
