"""No result leaves without a lease that is valid by this machine's own clock.

The store refuses what a former owner writes, and an outbox on the same disk does; a broker does
not know who owns a session. A worker that was suspended, or is cut off from the store, therefore
holds its results back itself until it has heard that the session is still its own. What it had
handed to the network before that moment may still arrive: a repeat, as after any crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streamd.pipeline.delivery import SinkSource
from streamd.records.items import Kind, OutboxItem
from streamd.sinks.sink import Sink

__all__ = ["FencedSinks", "IsHeld", "always_held"]

LOOK_AGAIN_SECONDS = 0.05

IsHeld = Callable[[], bool]
"""Whether the lease of a session has not ended yet, as far as can be known here."""


def always_held() -> bool:
    """Say yes: there is nobody else."""
    return True


class FencedSinks:
    """The sinks of one session, shut while its lease is in doubt."""

    def __init__(self, sinks: SinkSource, is_held: IsHeld) -> None:
        self._sinks = sinks
        self._is_held = is_held

    def sink_for(self, kind: Kind) -> Sink:
        """Return the sink that takes items of this kind while the lease is valid."""
        return _FencedSink(self._sinks.sink_for(kind), self._is_held)


class _FencedSink:
    def __init__(self, sink: Sink, is_held: IsHeld) -> None:
        self._sink = sink
        self._is_held = is_held
        self.name = sink.name

    async def open(self) -> None:
        await self._sink.open()

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        # Ends by a renewal, or by the session's end, which cancels this.
        while not self._is_held():  # noqa: ASYNC110  # time itself ends a lease
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        await self._sink.deliver(items)

    async def check(self, target: str) -> None:
        await self._sink.check(target)

    async def aclose(self) -> None:
        await self._sink.aclose()
