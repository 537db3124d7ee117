"""One feed: what it knows of its stream, and how a seat leaves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

import pytest

from streamd.pipeline.feed import FeedParts, StreamFeed
from streamd.pipeline.frames import Frame, Output
from streamd.pipeline.seat import Seat
from streamd.pipeline.source import ReadEnded, SourceEvent
from tests.support.delivery import eventually
from tests.support.feed import FedSource, NotingChain, Room, feed_parts, fragments_of
from tests.support.media import get_media_fragments
from tests.support.still import still_video


@pytest.fixture
async def parts() -> AsyncIterator[FeedParts]:
    """What the feeds of a test share."""
    shared = feed_parts()
    yield shared
    shared.engine.close()


async def _nothing(feed: StreamFeed) -> None:
    del feed


def _run(feed: StreamFeed) -> asyncio.Task[None]:
    return asyncio.create_task(feed.run(_nothing))


async def test_feed_is_live_when_it_reads_the_newest_fragment(parts: FeedParts) -> None:
    """Behind by a minute it is not, at the newest fragment it is."""
    source, chain = FedSource(fragments_of(1, behind_ms=60_000)), NotingChain()
    seat = Seat(chain, processor_name="door", delivery=Room())
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    await chain.until(fragments=1)
    assert not feed.is_live
    source.send(fragments_of(2)[1])
    await chain.until(fragments=2)
    assert feed.is_live
    await feed.leave(seat)
    await running


async def test_feed_ends_with_its_last_seat(parts: FeedParts) -> None:
    """Nobody reads a stream that nobody is shown."""
    source, chain = FedSource(fragments_of(1)), NotingChain()
    seat = Seat(chain, processor_name="door", delivery=Room())
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    await chain.until(fragments=1)
    await feed.leave(seat)
    async with asyncio.timeout(20):
        await running
    assert seat.feed is None
    assert not seat.ended.is_set()


async def test_nothing_is_shown_after_a_seat_has_left(parts: FeedParts) -> None:
    """The chain may be closed as soon as leave returns."""
    source, chain = FedSource(fragments_of(1)), NotingChain()
    seat = Seat(chain, processor_name="door", delivery=Room())
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    await chain.until(fragments=1)
    await feed.leave(seat)
    shown = len(chain.frames)
    source.send(*fragments_of(3)[1:])
    await running
    assert len(chain.frames) == shown


async def test_opened_when_the_service_has_answered(parts: FeedParts) -> None:
    """A stream processor is RUNNING once its input is open, media or not."""
    seat = Seat(NotingChain(), processor_name="door", delivery=Room())
    feed = StreamFeed(FedSource().source, seat, parts)
    running = _run(feed)
    async with asyncio.timeout(20):
        await feed.opened.wait()
    assert not feed.has_brought_media
    await feed.leave(seat)
    await running


async def test_full_outbox_keeps_others_away(parts: FeedParts) -> None:
    """A feed that waits for a sink is none to move to."""
    source, chain, room = FedSource(fragments_of(1)), NotingChain(), Room()
    seat = Seat(chain, processor_name="door", delivery=room)
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    await chain.until(fragments=1)
    assert feed.is_joinable
    room.fill()
    assert not feed.is_joinable
    await feed.leave(seat)
    assert not feed.is_joinable
    await running


class SlowChain(NotingChain):
    """Needs twice the time there is."""

    def take(self, output: Output) -> None:
        """Note it, slowly."""
        super().take(output)
        if isinstance(output, Frame):
            time.sleep(0.4)


async def test_live_video_beyond_the_machine_is_analysed_at_a_lower_rate(parts: FeedParts) -> None:
    """Frames that wait bring the rate down, for the metrics and the status message to see."""
    source, chain = FedSource(), SlowChain()
    seat = Seat(chain, processor_name="door", delivery=Room())
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    async with asyncio.timeout(60):
        for fragment in fragments_of(60):
            source.send(fragment)
            await asyncio.sleep(0.5)  # as a camera sends
            if feed.pace.share < 1:
                break
    assert feed.pace.share < 1
    share = parts.metrics.registry.get_sample_value("streamd_analysis_rate_ratio")
    assert share is not None
    assert share < 1
    await feed.leave(seat)
    await running


async def test_recorded_video_keeps_its_rate(parts: FeedParts) -> None:
    """What nobody waits for is only slower."""
    source, chain = FedSource(fragments_of(4, behind_ms=60_000)), SlowChain()
    seat = Seat(chain, processor_name="door", delivery=Room())
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    await chain.until(fragments=3)
    assert feed.pace.share == 1
    await feed.leave(seat)
    await running


async def test_load_of_a_feed_is_shared_by_its_seats(parts: FeedParts) -> None:
    """What keeps a thread busy is counted once, in equal parts."""
    source, chains = FedSource(fragments_of(1)), (NotingChain(), NotingChain())
    busy: tuple[list[float], list[float]] = ([], [])
    one, two = (
        Seat(chain, processor_name="door", delivery=Room(), on_busy=each.append)
        for chain, each in zip(chains, busy, strict=True)
    )
    feed = StreamFeed(source.source, one, parts)
    feed.seats.append(two)
    two.feed = feed
    running = _run(feed)
    for chain in chains:
        await chain.until(fragments=1)
    for seat in (one, two):
        await feed.leave(seat)
    await running
    assert sum(busy[0]) > 0
    assert busy[0] == busy[1]


class CutOffSource(FedSource):
    """The same, but the answer is cut off in its end."""

    async def read(self) -> AsyncGenerator[Sequence[SourceEvent]]:
        """See :meth:`MediaSource.read`."""
        async for events in super().read():
            yield [replace(e, error="cut off") if isinstance(e, ReadEnded) else e for e in events]


async def test_what_is_wrong_with_the_video_is_said_of_each_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A log line for each seat, with its fields: pictures too large, and an answer cut off."""
    parts, chain = feed_parts(max_frame_pixels=100), NotingChain()
    one, two = (
        Seat(chain, processor_name=name, delivery=Room(), log={"session": f"run of {name}"})
        for name in ("door", "hall")
    )
    source = CutOffSource(fragments_of(1))
    feed = StreamFeed(source.source, one, parts)
    feed.seats.append(two)
    two.feed = feed
    running = _run(feed)
    source.send(None)

    def is_told(message: str) -> bool:
        lines = [r.__dict__ for r in caplog.records if r.getMessage().startswith(message)]
        return {line["session"] for line in lines} == {"run of door", "run of hall"}

    for message in ("video cannot be decoded", "media was cut off"):
        await eventually(partial(is_told, message))
    for seat in (one, two):
        await feed.leave(seat)
    await running
    parts.engine.close()


def _metric(parts: FeedParts, name: str) -> float:
    value = parts.metrics.registry.get_sample_value(name, {"stream_processor": "door"})
    return value or 0.0


async def test_quiet_stream_is_not_decoded_and_need_not_be_learnt_twice(parts: FeedParts) -> None:
    """Skipped frames are counted; the next feed of the stream begins with what was learnt."""
    fragments = list(get_media_fragments(still_video(24)))
    skipped = []
    for _ in range(2):
        chain = NotingChain()
        seat = Seat(chain, processor_name="door", delivery=Room())
        feed = StreamFeed(FedSource(fragments).source, seat, parts, key="stream")
        running = _run(feed)
        await chain.until(fragments=len(fragments) - 1)
        async with feed.turn:  # by then it was counted
            skipped.append(_metric(parts, "streamd_frames_skipped_total"))
            assert _metric(parts, "streamd_gate_quiet") == 1
        await feed.leave(seat)
        assert _metric(parts, "streamd_gate_quiet") == 0
        await running
    assert skipped[0] == 4 * 19
    assert skipped[1] - skipped[0] > 6 * 19


async def test_quiet_stream_needs_threads_at_its_keyframes_only(parts: FeedParts) -> None:
    """What lies between two of them is kept without a job; nothing of it is lost."""
    fragments = list(get_media_fragments(still_video(40)))
    source, chain, busy = FedSource(), NotingChain(), list[float]()
    seat = Seat(chain, processor_name="door", delivery=Room(), on_busy=busy.append)
    feed = StreamFeed(source.source, seat, parts)
    running = _run(feed)
    for number, fragment in enumerate(fragments[:15]):
        source.send(fragment)
        await chain.until(fragments=number)
    assert _metric(parts, "streamd_gate_quiet") == 1
    before = len(busy)
    for number, fragment in enumerate(fragments[15:], 15):
        piece = len(fragment) // 80
        for at in range(0, len(fragment), piece):
            source.send(fragment[at : at + piece])
            await asyncio.sleep(0.005)  # as a camera sends: time for a job
        await chain.until(fragments=number)
    async with feed.turn:
        assert len(busy) - before <= 4 * 5  # the head, the keyframe, the end of the last
    await feed.leave(seat)
    await running


async def test_find_keeps_everything_decoded(parts: FeedParts) -> None:
    """As long as a session finds something, no frame is skipped."""
    fragments = list(get_media_fragments(still_video(24)))
    chain = NotingChain()
    chain.has_found = True
    seat = Seat(chain, processor_name="door", delivery=Room())
    feed = StreamFeed(FedSource(fragments).source, seat, parts)
    running = _run(feed)
    await chain.until(fragments=len(fragments))
    assert len(chain.frames) == 24 * 5
    assert _metric(parts, "streamd_frames_skipped_total") == 0
    await feed.leave(seat)
    await running
