"""Which replica a video stream is at home: it is sent to and read there, and nowhere else.

Everybody else answers with the error AWS has for a wrong endpoint, and GetDataEndpoint with
the right one. A home that is gone loses the stream to the replica that is asked next: by a
producer soon, since its video has nowhere else to go; by a consumer later, since the disk with
what it wants may come back. The fragments of the former home are then away, and numbering goes
on by time; who asks for what comes after one of them gets what there is. Where the archive is
shared, nothing is away, and a consumer waits no longer than a producer.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from streamd.gateway.door import RunBlocking
from streamd.gateway.live import LiveStream
from streamd.metrics import Metrics
from streamd.protocol.errors import ServiceError
from streamd.resources import VideoStream
from streamd.store import Store

__all__ = ["Homes", "Membership"]

logger = logging.getLogger(__name__)

READERS_WAIT: Final = 6
"""Times as long as a producer a consumer waits for a home to come back."""
PUT_MEDIA: Final = "PUT_MEDIA"


class Membership(Protocol):
    """This replica among the others."""

    replica_id: str
    advertised_url: str | None
    home_seconds: float

    def is_sure(self) -> bool:
        """Whether nobody can have taken over from this replica."""

    def url_of(self, replica_id: str | None) -> str | None:
        """Return where another replica is reached."""

    def is_gone(self, replica_id: str, *, after_seconds: float) -> bool:
        """Whether a replica was silent for so long."""

    async def look_again(self) -> None:
        """Learn at once what may be new."""


class Homes:
    """The homes of streams as this replica sees them.

    Args:
        store: Holds the homes.
        run_blocking: Awaits a blocking call.
        metrics: To count in.
        membership: ``None``: this is the only replica there can be, and every stream's home.
        is_archive_shared: Whether every replica can read what another one archived.

    """

    def __init__(
        self,
        *,
        store: Store,
        run_blocking: RunBlocking,
        metrics: Metrics,
        membership: Membership | None,
        is_archive_shared: bool = False,
    ) -> None:
        self._store = store
        self._run = run_blocking
        self._metrics = metrics
        self._membership = membership
        self._is_archive_shared = is_archive_shared
        self._new_here: set[str] = set()

    @property
    def own_id(self) -> str | None:
        """What streams made here have as their home."""
        return self._membership.replica_id if self._membership is not None else None

    def is_here(self, stream: VideoStream) -> bool:
        """Whether a stream's fragments lie on this disk."""
        return self._membership is None or stream.home == self._membership.replica_id

    def is_surely_here(self, stream: LiveStream) -> bool:
        """Whether what is archived of a stream here may be promised to stay in reach."""
        if self._membership is None:
            return True
        return not stream.is_elsewhere and self._membership.is_sure()

    def is_new_here(self, arn: str) -> bool:
        """Whether a stream was adopted and what others archived of it is not known yet."""
        return arn in self._new_here

    def note_known(self, arn: str) -> None:
        """Say that it is known now."""
        self._new_here.discard(arn)

    async def check_here(self, stream: VideoStream, *, sends: bool) -> VideoStream:
        """Return the stream if this is its home, adopted if its home is gone.

        Raises:
            ServiceError: ``InvalidEndpointException`` with the right endpoint.
            NotFoundError: If it was deleted.

        """
        stream = await self._settled(stream, sends=sends)
        if self.is_here(stream):
            return stream
        raise ServiceError(
            "InvalidEndpointException",
            f"The stream {stream.name} is not at this endpoint but at "
            f"{await self._url_of(stream)}; call GetDataEndpoint again.",
        )

    async def endpoint(self, stream: VideoStream, *, api_name: str, here: str) -> str:
        """Return the URL of a stream's home.

        Args:
            stream: As it was read.
            api_name: As in GetDataEndpoint.
            here: This replica's own.

        Raises:
            ServiceError: ``ServiceUnavailable`` if the home cannot be told at present.
            NotFoundError: If the stream was deleted.

        """
        stream = await self._settled(stream, sends=api_name == PUT_MEDIA)
        if not self.is_here(stream):
            return await self._url_of(stream)
        own = self._membership.advertised_url if self._membership is not None else None
        return own or here

    async def _url_of(self, stream: VideoStream) -> str:
        assert self._membership is not None, "without others everything is here"
        url = self._membership.url_of(stream.home)
        if url is None:
            await self._membership.look_again()
            url = self._membership.url_of(stream.home)
        if url is None:
            raise ServiceError(
                "ServiceUnavailable", f"The home of the stream {stream.name} is not known."
            )
        return url

    async def _settled(self, stream: VideoStream, *, sends: bool) -> VideoStream:
        """Adopt the stream if nobody is there for it."""
        membership, former = self._membership, stream.home
        if membership is None or self.is_here(stream):
            return stream
        waits = not sends and not self._is_archive_shared
        patience = membership.home_seconds * (READERS_WAIT if waits else 1)
        if former is not None and not membership.is_gone(former, after_seconds=patience):
            return stream
        stream = await self._run(
            lambda: self._store.adopt_video_stream(
                stream, home=membership.replica_id, after_seconds=patience
            )
        )
        if former is not None and self.is_here(stream):
            self._metrics.streams_adopted.inc()
            self._new_here.add(stream.arn)
            away = "" if self._is_archive_shared else ", and what it had archived with it"
            logger.warning(
                "stream adopted: its home is gone%s",
                away,
                extra={"stream": stream.name, "former_home": former},
            )
        return stream
