"""What people are shown of video streams: whether media arrives, and the last that did."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from streamd.gateway.archive import Archive, StoredFragment
from streamd.gateway.chunks import listed_chunk_head
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError, FragmentDamagedError, FragmentGoneError
from streamd.gateway.homes import Homes
from streamd.gateway.live import LiveStreams
from streamd.resources import VideoStream

__all__ = ["Clip", "GatewayView", "StreamState"]

logger = logging.getLogger(__name__)

MAX_CLIP_BYTES: Final = 4 * 1024 * 1024
"""A fragment begins with a keyframe: its first picture is in there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamState:
    """How a stream is."""

    is_here: bool
    """Whether this replica is its home; else nothing more is known here."""
    is_sending: bool = False
    """Whether a producer is connected."""
    newest_ms: int | None = None
    """When its newest fragment began to arrive; ``None``: there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """The beginning of a fragment."""

    server_ms: int
    """When it began to arrive."""
    body: bytes
    """As GetMediaForFragmentList would send it."""


class GatewayView:
    """Looks at streams and changes nothing."""

    def __init__(self, *, door: ArchiveDoor, live: LiveStreams, homes: Homes) -> None:
        self._door = door
        self._live = live
        self._homes = homes

    async def state(self, stream: VideoStream) -> StreamState:
        """Return how a stream is.

        Raises:
            ArchiveError: If the archive cannot be asked.

        """
        if not self._homes.is_here(stream):
            return StreamState(is_here=False)
        live = self._live.get(stream.arn)
        if live is not None:
            newest_ms: int | None = live.newest_ms if live.newest is not None else None
            return StreamState(
                is_here=True, is_sending=live.upload is not None, newest_ms=newest_ms
            )
        newest = await self._newest(stream)
        return StreamState(is_here=True, newest_ms=newest.server_ms if newest else None)

    async def newest_clip(self, stream: VideoStream) -> Clip | None:
        """Return the newest whole fragment; ``None`` if there is none in reach.

        Raises:
            ArchiveError: If the archive cannot be read.

        """
        if not self._homes.is_here(stream):
            return None
        newest = await self._newest(stream)
        if newest is None:
            return None
        try:
            return await self._door.read(_clip, self._door.archive, newest)
        except (FragmentDamagedError, FragmentGoneError) as error:
            logger.info("fragment passed over: %s", error, extra={"stream": stream.name})
            return None

    async def _newest(self, stream: VideoStream) -> StoredFragment | None:
        archive = self._door.archive
        stream_id = await self._door.call(archive.stream_id, stream.arn)
        return await self._door.call(archive.newest, stream_id)


def _clip(archive: Archive, fragment: StoredFragment) -> Clip:
    header = archive.header(fragment)
    first = archive.check(fragment)
    pieces, size = [first], len(first)
    limit = min(fragment.size, MAX_CLIP_BYTES)
    while size < limit:
        piece = archive.read(fragment.place, size, limit - size)
        if not piece:
            raise ArchiveError(f"fragment {fragment.number} ends at byte {size}")
        pieces.append(piece)
        size += len(piece)
    head = listed_chunk_head(
        header,
        number=fragment.number,
        server_ms=fragment.server_ms,
        producer_ms=fragment.producer_ms,
    )
    return Clip(server_ms=fragment.server_ms, body=head + b"".join(pieces))
