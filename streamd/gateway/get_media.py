"""GetMedia: fragments as they arrive, or as they were archived, in one endless answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from streamd.config import KinesisVideoSettings
from streamd.gateway.archive import StoredFragment
from streamd.gateway.chunks import INTERNAL_ERROR, chunk_head, chunk_tail, error_tags
from streamd.gateway.cursor import Cursor, open_cursor
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError, FragmentDamagedError, FragmentGoneError
from streamd.gateway.http import endless_response
from streamd.gateway.limits import CallRate, Connections, Pace
from streamd.gateway.live import FragmentState, LiveFragment, LiveStream, LiveStreams
from streamd.gateway.segments import READ_BYTES
from streamd.kvs import mkv_write
from streamd.kvs.mkv import Track
from streamd.kvs.numbers import DIGITS, next_number, previous_number
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.resources import VideoStream

__all__ = ["MEDIA_TYPE", "Answer", "ArchivedPieces", "GetMedia"]

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "video/webm"
WRITE_BYTES: Final = 256 * 1024
"""Of live media, at most, in one write: what a slow consumer holds in memory."""
POLL_SECONDS: Final = 5.0
"""How often a consumer that waits is checked to be still there."""
_NO_TRACK: Final = Track(number=1, kind="other", codec_id="")


class Answer:
    """A body of fragments on its way to a consumer, at the pace that is set."""

    def __init__(self, response: web.StreamResponse, *, byte_pace: Pace) -> None:
        self._response = response
        self._byte_pace = byte_pace
        self.has_begun = False
        """A document is open."""
        self.is_inside = False
        """A cluster is open: nothing but its own bytes can follow."""

    async def write(self, data: bytes) -> None:
        """Write bytes of a fragment."""
        self.has_begun = self.is_inside = True
        await self._response.write(data)
        await self._byte_pace.spend(len(data))

    async def write_tail(self, data: bytes) -> None:
        """Write what closes a fragment."""
        await self._response.write(data)
        self.is_inside = False

    async def write_error(self, error: bytes) -> None:
        """Write error tags, the last thing in a body; inside a fragment there is no room for any."""
        if not self.is_inside:
            document = b"" if self.has_begun else mkv_write.stream_header([_NO_TRACK])
            await self._response.write(document + error)


class ArchivedPieces:
    """Reads archived fragments, checked before their first byte is sent."""

    def __init__(self, door: ArchiveDoor, metrics: Metrics) -> None:
        self._door = door
        self._metrics = metrics

    async def send(
        self, fragment: StoredFragment, head: Callable[[bytes], bytes], answer: Answer
    ) -> None:
        """Write ``head(document header)`` and the fragment.

        Raises:
            FragmentDamagedError: Before anything was written; the fragment is dropped.
            FragmentGoneError: Retention was faster; before anything was written.
            ArchiveError: If it cannot be read; ``answer.is_inside`` says since when.

        """
        archive = self._door.archive

        def first() -> tuple[bytes, bytes]:
            return archive.header(fragment), archive.check(fragment)

        try:
            header, piece = await self._door.read(first)
        except FragmentDamagedError as error:
            logger.warning(
                "damaged fragment skipped",
                extra={"fragment": error.number, "reason": error.reason},
            )
            self._metrics.archive_fragments_lost.labels(error.reason).inc()
            await self._door.call(archive.drop, fragment)
            raise
        await answer.write(head(header) + piece)
        offset = len(piece)
        while offset < fragment.size:
            size = min(READ_BYTES, fragment.size - offset)
            try:
                piece = await self._door.read(archive.read, fragment.place, offset, size)
            except FragmentGoneError as error:  # "gone" means that nothing of it was sent
                raise ArchiveError(str(error)) from error
            if not piece:
                raise ArchiveError(f"fragment {fragment.number} ends at byte {offset}")
            await answer.write(piece)
            offset += len(piece)


class GetMedia:
    """The operation GetMedia."""

    def __init__(
        self,
        *,
        door: ArchiveDoor,
        live: LiveStreams,
        metrics: Metrics,
        settings: KinesisVideoSettings,
        calls: CallRate,
        find: Callable[[web.Request, Mapping[str, Any]], Awaitable[VideoStream]],
        enter: Callable[[VideoStream], Awaitable[LiveStream]],
    ) -> None:
        self._door = door
        self._live = live
        self._metrics = metrics
        self._settings = settings
        self._calls = calls
        self._connections = Connections("GetMedia", settings.max_get_media_connections)
        self._find = find
        self._enter = enter
        self._pieces = ArchivedPieces(door, metrics)

    async def call(
        self, request: web.Request, values: Mapping[str, Any], request_id: str
    ) -> web.StreamResponse:
        """Answer one request; returns when the answer is over."""
        video_stream = await self._find(request, values)
        self._calls.check("GetMedia", video_stream.arn)
        with self._connections.one(video_stream.arn):
            stream = await self._enter(video_stream)
            try:
                return await self._answer(request, values["StartSelector"], stream, request_id)
            finally:
                self._live.leave(stream)

    async def _answer(
        self,
        request: web.Request,
        selector: Mapping[str, Any],
        stream: LiveStream,
        request_id: str,
    ) -> web.StreamResponse:
        if stream.is_gone:
            raise ServiceError("ResourceNotFoundException", "The stream is being deleted.")
        # The position comes first: what arrives once the client sees headers is not missed.
        cursor = await open_cursor(self._door, stream, selector)
        await self._note_gap(stream, selector)
        response = endless_response(request, content_type=MEDIA_TYPE, request_id=request_id)
        answer = Answer(response, byte_pace=Pace(self._settings.max_get_media_bytes_per_second))
        self._metrics.get_media_connections.inc()
        try:
            await response.prepare(request)
            try:
                await self._stream(request, answer, stream, cursor)
            except ConnectionError:
                raise
            except Exception:
                # The answer has begun: what can be told still is an error chunk.
                logger.exception("GetMedia broke off", extra={"stream": stream.arn})
                await answer.write_error(error_tags(cursor.last, code=INTERNAL_ERROR))
            await response.write_eof()
        except ConnectionError:
            logger.debug("a consumer left", extra={"stream": stream.arn})
        finally:
            self._metrics.get_media_connections.dec()
        return response

    async def _note_gap(self, stream: LiveStream, selector: Mapping[str, Any]) -> None:
        """Say that the fragment a consumer goes on after is not here, nor the one after it.

        Retention was faster, or it lies on the disk of a former home. The consumer gets what
        there is.
        """
        number = selector.get("AfterFragmentNumber")
        if number is None or (stream.newest is None and stream.upload is None):
            return
        number = f"{int(number):0{DIGITS}d}"
        archive, stream_id = self._door.archive, stream.stream_id

        def is_known() -> bool:
            # The next one is asked for by who wants to begin with a fragment.
            return any(archive.find(stream_id, n) for n in (number, next_number(number)))

        live = stream.after(previous_number(number)) if int(number) else None
        if live is not None and live.number in (number, next_number(number)):
            return
        if not await self._door.call(is_known):
            self._metrics.get_media_gaps.inc()
            logger.warning(
                "fragments that a consumer goes on after are not here",
                extra={"stream": stream.arn, "fragment": number},
            )

    async def _stream(
        self,
        request: web.Request,
        answer: Answer,
        stream: LiveStream,
        cursor: Cursor,
    ) -> None:
        """Send fragment after fragment until the answer has to end."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        pace = Pace(self._settings.max_fragments_per_second)
        changed = stream.waiter()
        try:
            while loop.time() < started + self._settings.max_connection_seconds:
                changed.clear()
                found = await cursor.next()
                if found is None:
                    if stream.is_gone or not _is_connected(request):
                        return
                    wait = self._patience(stream, started)
                    if wait <= 0:
                        return
                    await _wait(changed, min(wait, POLL_SECONDS))
                    continue
                if isinstance(found, LiveFragment):
                    if not await self._send_live(answer, stream, found, changed):
                        return
                else:
                    await self._send_archived(answer, stream, found)
                await pace.spend(1)
        finally:
            stream.forget(changed)

    def _patience(self, stream: LiveStream, started: float) -> float:
        """Return how long to wait for more, in seconds; 0 or less: the stream is idle."""
        if stream.upload is not None:
            return POLL_SECONDS
        idle_since = max(started, stream.upload_ended_at)
        return idle_since + self._settings.idle_seconds - asyncio.get_running_loop().time()

    async def _send_archived(
        self, answer: Answer, stream: LiveStream, fragment: StoredFragment
    ) -> None:
        def head(header: bytes) -> bytes:
            return chunk_head(
                header,
                number=fragment.number,
                server_ms=fragment.server_ms,
                producer_ms=fragment.producer_ms,
            )

        try:
            await self._pieces.send(fragment, head, answer)
        except FragmentDamagedError:
            return  # and on with the next
        except FragmentGoneError:
            logger.debug("a fragment was freed before it was sent")
            return
        await answer.write_tail(_tail(stream, fragment))

    async def _send_live(
        self,
        answer: Answer,
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
                await answer.write(data)
                data = b""
            elif fragment.state is FragmentState.COMPLETE and offset >= fragment.size:
                await answer.write_tail(_tail(stream, fragment))
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
