"""The pump: loops, live sources that go away, pace, stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from streamd.clock import SystemClock
from streamd.kvs.mkv_parts import Track
from streamd.producer.buffer import FragmentBuffer
from streamd.producer.errors import SourceError
from streamd.producer.events import EventKind, ProducerOptions, ProducerStats
from streamd.producer.media import MediaSource, MediaUnit
from streamd.producer.pump import LONG_GAP_NOTE, Pump

MS = 1_000_000
START_NS = 1_700_000_000_000 * MS
TRACKS = (Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=2, height_px=2),)


@dataclass
class FakeSource:
    """Gives units one by one, then ends or breaks."""

    units: Sequence[MediaUnit]
    is_live: bool = False
    is_paced: bool = False
    silence: bytes | None = None
    breaks: bool = False
    closed: bool = False
    _left: list[MediaUnit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = list(self.units)

    def read(self) -> list[MediaUnit]:
        if self._left:
            return [self._left.pop(0)]
        if self.breaks:
            raise SourceError("the cable is cut")
        return []

    def close(self) -> None:
        self.closed = True


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def epoch(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


def video(seconds: int, *, gop_seconds: int = 1) -> list[MediaUnit]:
    """Ten frames a second, a keyframe every ``gop_seconds``."""
    return [
        MediaUnit(
            tracks=TRACKS,
            track_number=1,
            pts_ns=index * 100 * MS,
            dts_ns=index * 100 * MS,
            duration_ns=100 * MS,
            is_keyframe=index % (10 * gop_seconds) == 0,
            data=b"frame",
        )
        for index in range(10 * seconds)
    ]


@dataclass
class Rig:
    """A pump and what it did."""

    pump: Pump
    buffer: FragmentBuffer
    stats: ProducerStats
    told: list[tuple[EventKind, str]]
    clock: FakeClock

    def timecodes(self) -> list[int]:
        return [f.timecode_ms - 1_700_000_000_000 for f in self.buffer._fragments]


def rig(
    source: MediaSource,
    *,
    reopen: Callable[[], MediaSource] | None = None,
    options: ProducerOptions | None = None,
) -> Rig:
    def never() -> MediaSource:
        raise AssertionError("opened again")

    async def run_blocking(function: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        return function()

    told: list[tuple[EventKind, str]] = []
    buffer, stats, clock = FragmentBuffer(), ProducerStats(), FakeClock()
    pump = Pump(
        source=source,
        reopen=reopen or never,
        buffer=buffer,
        options=options or ProducerOptions(fast=True, start_ns=START_NS),
        stats=stats,
        tell=lambda kind, text: told.append((kind, text)),
        run_blocking=run_blocking,
        clock=clock,
    )
    return Rig(pump=pump, buffer=buffer, stats=stats, told=told, clock=clock)


async def test_a_file_is_read_to_its_end() -> None:
    """Every frame goes into the buffer, which is then closed."""
    r = rig(FakeSource(video(3)))
    await r.pump.run()
    assert r.timecodes() == [0, 1000, 2000]
    assert r.buffer.is_closed
    assert (r.stats.frames, r.stats.fragments, r.stats.media_seconds) == (30, 3, 3.0)
    assert all(f.complete for f in r.buffer._fragments)


async def test_a_file_that_breaks_keeps_what_came_before() -> None:
    """An error in the middle is told at the end; the frames before it still go out."""
    r = rig(FakeSource(video(2), breaks=True))
    await r.pump.run()
    assert r.timecodes() == [0, 1000]
    assert str(r.pump.failure) == "the cable is cut"
    assert r.buffer.is_closed


async def test_a_loop_opens_the_source_again() -> None:
    """Times go on; the length given ends it."""
    first = FakeSource(video(2))
    options = ProducerOptions(fast=True, loop=True, start_ns=START_NS, max_seconds=5.0)
    r = rig(first, reopen=lambda: FakeSource(video(2)), options=options)
    await r.pump.run()
    assert r.timecodes() == [0, 1000, 2000, 3000, 4000]
    assert first.closed


async def test_a_camera_that_hangs_up_is_opened_again() -> None:
    """The end of a live source is a disconnection; the times after it are the wall clock's."""
    later: Iterator[MediaSource | SourceError] = iter(
        [SourceError("no answer"), FakeSource(video(1), is_live=True, is_paced=True)]
    )

    def reopen() -> MediaSource:
        r.clock.seconds += 30
        following = next(later)
        if isinstance(following, SourceError):
            raise following
        return following

    options = ProducerOptions(start_ns=START_NS, max_seconds=60.5)
    r = rig(FakeSource(video(2), is_live=True, is_paced=True), reopen=reopen, options=options)
    await r.pump.run()
    assert r.timecodes() == [0, 1000, 60_000]
    assert [kind for kind, _ in r.told] == [EventKind.SOURCE_LOST] * 2
    assert "the camera closed the connection" in r.told[0][1]
    assert "no answer; next try in" in r.told[1][1]


async def test_a_camera_that_breaks_is_opened_again() -> None:
    """An error of a live source is not the end of it."""
    broken = FakeSource(video(1), is_live=True, is_paced=True, breaks=True)
    options = ProducerOptions(start_ns=START_NS, max_seconds=1.5)
    r = rig(
        broken, reopen=lambda: FakeSource(video(1), is_live=True, is_paced=True), options=options
    )
    await r.pump.run()
    assert r.pump.failure is None
    assert r.told == [(EventKind.SOURCE_LOST, "the cable is cut")]
    assert r.stats.fragments == 2


async def test_a_camera_that_hangs_up_at_once_is_not_hammered() -> None:
    """The pause before each try grows while no connection lasts."""
    pauses: list[float] = []
    empty = FakeSource([], is_live=True, is_paced=True)
    r = rig(empty, reopen=lambda: empty, options=ProducerOptions(start_ns=START_NS))

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            r.pump.stop()

    r.pump._pause = pause  # type: ignore[method-assign]  # time stands still in this test
    await r.pump.run()
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 4.0


async def test_missing_keyframes_are_told_once() -> None:
    """A fragment that had to be cut without a keyframe is worth one note."""
    r = rig(FakeSource(video(30, gop_seconds=60)))
    await r.pump.run()
    assert r.timecodes() == [0, 10_000, 20_000]
    assert r.told == [(EventKind.NOTE, LONG_GAP_NOTE)]


async def test_stop_ends_a_paced_source() -> None:
    """A pump that waits for the next frame's time stops at once."""

    class Stopping(FakeSource):
        def read(self) -> list[MediaUnit]:
            if len(self._left) < len(self.units):
                r.pump.stop()
            return super().read()

    r = rig(Stopping(video(60)), options=ProducerOptions(start_ns=START_NS))
    await r.pump.run()
    assert r.stats.frames == 2
    assert r.buffer.is_closed


def taken(units: list[MediaUnit], first_ns: int) -> list[MediaUnit]:
    """The same, with the camera's own times."""
    return [replace(unit, taken_ns=first_ns + unit.pts_ns) for unit in units]


async def test_a_cameras_clock_gives_the_times() -> None:
    """What the camera says counts, from the first frame on."""
    now_ns = int(1_700_000_000 * 1e9)
    source = FakeSource(taken(video(2), now_ns - 700 * MS), is_live=True, is_paced=True)
    r = rig(source, options=ProducerOptions(max_seconds=1.9))
    await r.pump.run()
    assert r.timecodes() == [-700, 300]
    assert r.stats.uses_camera_clock
    assert r.stats.clock_offset_seconds == 0.3


async def test_a_wrong_clock_is_left_alone_and_told_once() -> None:
    """A camera that believes it is 1970 gets the server's times and one note."""

    class RealTime(FakeSource):
        def read(self) -> list[MediaUnit]:
            r.clock.seconds += 0.1
            return super().read()

    source = RealTime(taken(video(3), 0), is_live=True, is_paced=True)
    r = rig(source, options=ProducerOptions(max_seconds=2.9))
    await r.pump.run()
    assert r.timecodes() == [100, 1100, 2100]
    assert not r.stats.uses_camera_clock
    assert [kind for kind, _ in r.told] == [EventKind.NOTE]
    assert "server's is used" in r.told[0][1]


async def test_segments_wait_until_they_are_due() -> None:
    """Live video that comes in bursts goes out at the pace of the clock."""
    r = rig(FakeSource(video(1), is_live=True), options=ProducerOptions(max_seconds=0.95))
    r.pump._clock = SystemClock()
    r.clock.seconds = time.time()
    started = time.monotonic()
    await r.pump.run()
    assert r.stats.frames == 10
    assert time.monotonic() - started >= 0.8
