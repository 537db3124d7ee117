"""A session's place at a feed: what the feed shows it, and how that ends."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from processors.roi import Regions
from streamd.pipeline.frames import Output

if TYPE_CHECKING:
    from streamd.pipeline.feed import StreamFeed

__all__ = ["RoomKeeper", "Seat", "SeatEnd", "SeatedChain"]


class SeatedChain(Protocol):
    """What a feed needs of a session's chain."""

    @property
    def is_over(self) -> bool:
        """Whether the session's time is over."""

    @property
    def regions(self) -> Regions:
        """Regions of interest; none: the whole picture."""

    @property
    def has_found(self) -> bool:
        """Whether the last output showed something of what is looked for."""

    @property
    def awaits_end(self) -> bool:
        """Whether only what the decoder still holds is wanted."""

    def take(self, output: Output) -> None:
        """Use what the feed gives out (blocking)."""


class RoomKeeper(Protocol):
    """What a feed needs of a session's delivery."""

    @property
    def has_room(self) -> bool:
        """Whether more results may be made now."""

    async def wait_for_room(self) -> bool:
        """Wait until they may."""


class SeatEnd(enum.Enum):
    """Why a seat at a feed was given up by the feed."""

    OVER = "over"  # the session's time is over, or the feed's stream has ended for it
    BROKEN = "broken"  # the chain or the feed met an error
    LEFT_BEHIND = "left behind"  # the outbox is full: go on alone


class Seat:
    """A session's place at a feed; the session waits for :attr:`ended`."""

    def __init__(
        self,
        chain: SeatedChain,
        *,
        processor_name: str,
        delivery: RoomKeeper,
        on_busy: Callable[[float], None] | None = None,
        log: Mapping[str, str] | None = None,
    ) -> None:
        self.chain = chain
        self.processor_name = processor_name
        self.delivery = delivery
        self.on_busy = on_busy
        """Told this seat's part of the seconds an analysis thread was busy."""
        self.log = log if log is not None else {"stream_processor": processor_name}
        """Fields of every log line about the session."""
        self.feed: StreamFeed | None = None
        self.ended = asyncio.Event()
        self.end: SeatEnd | None = None
        self.error: Exception | None = None

    def take(self, output: Output) -> None:
        """Show the chain an output; its error is its own (blocking)."""
        if self.error is not None:
            return
        try:
            self.chain.take(output)
        except Exception as error:  # noqa: BLE001  # raised again in the session's own task
            self.error = error

    def give_up(self, end: SeatEnd) -> None:
        """Tell the session that the feed shows it no more."""
        self.feed = None
        if self.end is None:
            self.end = end
            self.ended.set()
