"""Sessions on one stream meet at one feed: decoded once, nothing missed, nobody held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.feed import FeedParts
from streamd.pipeline.feeds import Feeds
from streamd.pipeline.seat import Seat, SeatEnd
from tests.support.feed import FedSource, NotingChain, Room, feed_parts, fragments_of

KEY = ("000000000000", "arn:aws:kinesisvideo:us-east-1:000000000000:stream/cam/1")


@pytest.fixture
def parts() -> FeedParts:
    """What the feeds of a test share."""
    return feed_parts()


@pytest.fixture
async def feeds(parts: FeedParts) -> AsyncIterator[Feeds]:
    """Feeds that end with the test."""
    opened = Feeds(parts)
    yield opened
    await opened.aclose()
    parts.engine.close()


def _seat(chain: NotingChain, name: str = "door", room: Room | None = None) -> Seat:
    return Seat(chain, processor_name=name, delivery=room or Room())


def _open_count(parts: FeedParts) -> float:
    value = parts.metrics.registry.get_sample_value("streamd_feeds")
    assert value is not None
    return value


async def _until_shared(parts: FeedParts, *, feeds: int) -> None:
    async with asyncio.timeout(20):
        while _open_count(parts) != feeds:  # noqa: ASYNC110  # nothing tells of an end
            await asyncio.sleep(0.01)


async def _until_ended(seat: Seat) -> None:
    async with asyncio.timeout(20):
        await seat.ended.wait()


async def test_two_sessions_share_one_decode(feeds: Feeds, parts: FeedParts) -> None:
    """The newcomer moves to the feed that is there; both are shown every frame, once."""
    fragments = fragments_of(6)
    first, second = NotingChain(), NotingChain()
    one, two = FedSource(fragments[:2]), FedSource(fragments[:3])
    feeds.open(KEY, one.source, _seat(first))
    await first.until(fragments=2)
    newcomer = _seat(second)
    feeds.open(KEY, two.source, newcomer)
    await second.until(fragments=2)
    await _until_shared(parts, feeds=1)
    one.send(*fragments[2:])
    await first.until(fragments=6)
    await second.until(fragments=6)
    assert sorted(set(second.frames)) == first.frames
    assert len(first.frames) == 15


async def test_newcomer_that_lags_is_waited_for(feeds: Feeds, parts: FeedParts) -> None:
    """The shared feed stands still until the newcomer has been shown what it has shown."""
    fragments = fragments_of(4)
    first, second = NotingChain(), NotingChain()
    feeds.open(KEY, FedSource(fragments[:3]).source, _seat(first))
    await first.until(fragments=3)
    late = FedSource(fragments[:1])
    feeds.open(KEY, late.source, _seat(second))
    await second.until(fragments=1)
    late.send(*fragments[1:3])
    await _until_shared(parts, feeds=1)
    assert second.frames == first.frames


async def test_session_in_the_past_reads_alone(feeds: Feeds, parts: FeedParts) -> None:
    """Nobody who reads the archive is moved to the present."""
    live, past = NotingChain(), NotingChain()
    feeds.open(KEY, FedSource(fragments_of(2)).source, _seat(live))
    feeds.open(KEY, FedSource(fragments_of(3, behind_ms=60_000)).source, _seat(past))
    await past.until(fragments=3)
    await live.until(fragments=2)
    assert _open_count(parts) == 2


async def test_other_streams_are_not_shared(feeds: Feeds, parts: FeedParts) -> None:
    """A feed is one stream's."""
    chains = [NotingChain(), NotingChain()]
    for index, chain in enumerate(chains):
        feeds.open((KEY[0], f"{KEY[1]}{index}"), FedSource(fragments_of(2)).source, _seat(chain))
    for chain in chains:
        await chain.until(fragments=2)
    assert _open_count(parts) == 2


async def test_feed_outlives_the_session_that_opened_it(feeds: Feeds, parts: FeedParts) -> None:
    """When the first one leaves, the others are shown everything all the same."""
    fragments = fragments_of(5)
    first, second = NotingChain(), NotingChain()
    one = FedSource(fragments[:2])
    leaver, stayer = _seat(first), _seat(second)
    feeds.open(KEY, one.source, leaver)
    await first.until(fragments=2)
    feeds.open(KEY, FedSource(fragments[:2]).source, stayer)
    await _until_shared(parts, feeds=1)
    assert leaver.feed is stayer.feed
    assert leaver.feed is not None
    await leaver.feed.leave(leaver)
    one.send(*fragments[2:])
    await second.until(fragments=5)
    assert len(set(second.frames)) == 13
    assert first.done == second.done[:2]


async def test_full_outbox_leaves_only_its_own_session_behind(
    feeds: Feeds, parts: FeedParts
) -> None:
    """The others go on; the one without room is told to go on alone."""
    fragments = fragments_of(5)
    first, second = NotingChain(), NotingChain()
    one, room = FedSource(fragments[:2]), Room()
    feeds.open(KEY, one.source, _seat(first))
    await first.until(fragments=2)
    stuck = _seat(second, "stuck", room)
    feeds.open(KEY, FedSource(fragments[:2]).source, stuck)
    await _until_shared(parts, feeds=1)
    room.fill()
    one.send(*fragments[2:])
    await first.until(fragments=5)
    assert stuck.end is SeatEnd.LEFT_BEHIND
    assert len(second.done) == 2


async def test_full_outbox_of_a_session_alone_holds_up_its_feed(feeds: Feeds) -> None:
    """Results already made come first; with room again it goes on, nothing is dropped."""
    fragments = fragments_of(4)
    chain, room, source = NotingChain(), Room(), FedSource(fragments[:2])
    feeds.open(KEY, source.source, _seat(chain, room=room))
    await chain.until(fragments=2)
    room.fill()
    source.send(*fragments[2:])
    await asyncio.sleep(0.1)
    assert len(chain.done) == 2
    room.free()
    await chain.until(fragments=4)
    assert len(chain.frames) == 10


async def test_error_of_one_chain_ends_that_seat_alone(feeds: Feeds, parts: FeedParts) -> None:
    """A chain that breaks takes nobody with it, and its session is given the error."""
    fragments = fragments_of(4)
    first, second = NotingChain(), NotingChain(fails_at=8)
    one = FedSource(fragments[:2])
    feeds.open(KEY, one.source, _seat(first))
    await first.until(fragments=2)
    broken = _seat(second, "broken")
    feeds.open(KEY, FedSource(fragments[:2]).source, broken)
    await _until_shared(parts, feeds=1)
    one.send(*fragments[2:])
    await first.until(fragments=4)
    await _until_ended(broken)
    assert broken.end is SeatEnd.BROKEN
    assert isinstance(broken.error, MemoryError)


async def test_stream_that_fails_fails_every_seat(feeds: Feeds) -> None:
    """What the source says of the stream is true for all who sit at it."""
    chain, source = NotingChain(), FedSource(fragments_of(1))
    seat = _seat(chain)
    feeds.open(KEY, source.source, seat)
    await chain.until(fragments=1)
    source.send(SessionFailedError("Stream cam doesn't exist"))
    await _until_ended(seat)
    assert seat.end is SeatEnd.BROKEN
    assert str(seat.error) == "Stream cam doesn't exist"


async def test_session_that_is_over_leaves_at_the_end_of_its_fragment(
    feeds: Feeds, parts: FeedParts
) -> None:
    """A label session's time is over; the face search beside it goes on."""
    fragments = fragments_of(5)
    first, second = NotingChain(), NotingChain(ends_after=3)
    one = FedSource(fragments[:2])
    feeds.open(KEY, one.source, _seat(first))
    await first.until(fragments=2)
    label = _seat(second, "label")
    feeds.open(KEY, FedSource(fragments[:2]).source, label)
    await _until_shared(parts, feeds=1)
    one.send(*fragments[2:])
    await first.until(fragments=5)
    await _until_ended(label)
    assert label.end is SeatEnd.OVER
    assert len(second.done) == 3


async def test_finished_seat_is_shown_all_that_has_come(feeds: Feeds) -> None:
    """The end of the media ends a label session behind the last frame that came."""
    fragments = fragments_of(3)
    chain = NotingChain()
    source = FedSource(fragments)
    seat = _seat(chain)
    feeds.open(KEY, source.source, seat)
    await chain.until(fragments=3)
    assert seat.feed is not None
    await seat.feed.finish(seat)
    assert seat.end is SeatEnd.OVER
    assert seat.error is None
    assert len(chain.frames) == 8
