"""A stream that a test feeds fragment by fragment, and a chain that notes what it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry

from processors.roi import Regions
from streamd.clock import SystemClock
from streamd.config import AnalysisSettings, ModelsSettings
from streamd.kvs.fragments import FragmentReader
from streamd.metrics import Metrics
from streamd.pipeline.engine import AnalysisEngine
from streamd.pipeline.feed import FeedParts
from streamd.pipeline.frames import FragmentDone, FragmentRead, Frame, Output
from streamd.pipeline.pace import PaceKeeper
from streamd.pipeline.source import MediaSource, Opened, ReadEnded, SourceEvent
from tests.support.media import encode, get_media_fragments, moving_shapes

__all__ = ["FedSource", "NotingChain", "Room", "feed_parts", "fragments_of"]


def fragments_of(count: int, *, behind_ms: int = 0) -> list[bytes]:
    """Return fragments of half a second, five frames each."""
    video = encode(moving_shapes(count * 5, width_px=160, height_px=120), fps=10, gop=5)
    return list(get_media_fragments(video, millis_behind_now=behind_ms))


def feed_parts(**settings: float) -> FeedParts:
    """Return what feeds share, with one thread."""
    return FeedParts(
        settings=AnalysisSettings.model_validate({"fps": 5.0, **settings}),
        engine=AnalysisEngine(settings=ModelsSettings(), models_dir=Path("none"), threads=1),
        metrics=Metrics(CollectorRegistry()),
        clock=SystemClock(),
        pace=PaceKeeper(),
    )


class FedSource:
    """Stands for a :class:`MediaSource`: one answer of GetMedia, which the test writes."""

    def __init__(self, fragments: Iterable[bytes] = ()) -> None:
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.send(*fragments)

    @property
    def source(self) -> MediaSource:
        """This, as what a feed takes."""
        return cast(MediaSource, self)

    def send(self, *fragments: bytes | Exception | None) -> None:
        """Let bytes arrive; ``None`` ends the answer in order, an exception breaks it."""
        for fragment in fragments:
            self._chunks.put_nowait(fragment)

    async def read(self) -> AsyncGenerator[Sequence[SourceEvent]]:
        """See :meth:`MediaSource.read`."""
        yield [Opened()]
        reader, count = FragmentReader(), 0
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            count += 1
            if events := reader.feed(chunk):
                yield events
        yield [ReadEnded(fragments=count)]


class NotingChain:
    """Notes the frames it is shown, as ``(fragment, offset in ms)``."""

    def __init__(self, *, fails_at: int | None = None, ends_after: int | None = None) -> None:
        self.frames: list[tuple[int, int]] = []
        self.done: list[int] = []
        self.is_over = False
        self.regions = Regions()
        self.has_found = False
        self.awaits_end = False
        self.seen = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._fails_at = fails_at
        self._ends_after = ends_after

    def take(self, output: Output) -> None:
        """Note it; break or end when that was asked for."""
        if self.is_over:
            return
        if isinstance(output, Frame):
            if len(self.frames) == self._fails_at:
                raise MemoryError("no room for this frame")
            offset_ms = output.position.frame_offset_ns // 1_000_000
            self.frames.append((int(output.position.fragment_number), offset_ms))
        elif isinstance(output, FragmentRead):
            self.awaits_end = len(self.done) + 1 == self._ends_after
        elif isinstance(output, FragmentDone):
            self.done.append(int(output.number))
            self.is_over = len(self.done) == self._ends_after
        self._loop.call_soon_threadsafe(self.seen.set)

    async def until(self, *, fragments: int) -> None:
        """Wait until so many fragments are done."""
        async with asyncio.timeout(20):
            while len(self.done) < fragments:
                self.seen.clear()
                if len(self.done) < fragments:
                    await self.seen.wait()


class Room:
    """Stands for the delivery of a session: its outbox is full while a test says so."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()

    @property
    def has_room(self) -> bool:
        """Whether more results may be made now."""
        return self._free.is_set()

    def fill(self) -> None:
        """Have no room."""
        self._free.clear()

    def free(self) -> None:
        """Have room again."""
        self._free.set()

    async def wait_for_room(self) -> bool:
        """Wait until there is room."""
        return await self._free.wait()
