"""The last analysed frame, while somebody watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.pipeline.live_frames import LEASE_SECONDS, FramePublisher, LiveFrames
from tests.support.clock import ManualClock
from tests.support.pictures import gray, place, seen, size_of

KEY = "000000000000-1-cam"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def frames(tmp_path: Path, clock: ManualClock) -> LiveFrames:
    return LiveFrames(tmp_path / "live", clock=clock)


@pytest.fixture
def publisher(frames: LiveFrames, clock: ManualClock) -> FramePublisher:
    return FramePublisher(frames, KEY, clock=clock)


def test_nobody_watches_nothing_is_written(frames: LiveFrames, publisher: FramePublisher) -> None:
    """Without a watcher no frame is made, not even a directory."""
    publisher.note(gray(), place(1), [seen()])
    assert frames.read(KEY) is None


def test_a_watcher_sees_the_frame_and_what_it_shows(
    frames: LiveFrames, publisher: FramePublisher, clock: ManualClock
) -> None:
    """The frame is reduced to 960 pixels; its head has its place and finds in AWS's spelling."""
    assert frames.watch(KEY) is True
    publisher.note(gray(1920, 1080), place(12.5), [seen("alice", 97.0)])
    frame = frames.read(KEY)
    assert frame is not None
    assert size_of(frame.jpeg) == (960, 540)
    assert frame.head == {
        "AnalyzedAt": clock.epoch(),
        "FragmentNumber": "7",
        "ServerTimestamp": 1_700_000_000.0,
        "ProducerTimestamp": 12.5,
        "FrameOffsetInSeconds": 0.0,
        "Finds": [seen("alice", 97.0).document()],
    }


def test_only_the_first_watch_is_new(frames: LiveFrames, clock: ManualClock) -> None:
    """Going on to watch is no news; watching again after a break is."""
    assert frames.watch(KEY)
    clock.advance(LEASE_SECONDS - 1)
    assert not frames.watch(KEY)
    clock.advance(LEASE_SECONDS + 1)
    assert frames.watch(KEY)


def test_frames_are_a_few_a_second(
    frames: LiveFrames, publisher: FramePublisher, clock: ManualClock
) -> None:
    """A frame right after another is passed over; later ones replace it."""
    frames.watch(KEY)
    seconds = []
    for step in range(6):
        publisher.note(gray(64, 48), place(step), [])
        clock.advance(0.125)
        frame = frames.read(KEY)
        assert frame is not None
        seconds.append(frame.head["ProducerTimestamp"])
    assert seconds == [0, 0, 2, 2, 4, 4]


def test_the_frame_goes_when_the_watcher_has_gone(
    frames: LiveFrames, publisher: FramePublisher, clock: ManualClock
) -> None:
    """The next analysed frame after the lease takes it away."""
    frames.watch(KEY)
    publisher.note(gray(64, 48), place(0), [])
    clock.advance(LEASE_SECONDS + 1)
    publisher.note(gray(64, 48), place(1), [])
    assert frames.read(KEY) is None


def test_the_frame_goes_with_the_session(frames: LiveFrames, publisher: FramePublisher) -> None:
    """What was live is so no more; closing twice does no harm."""
    frames.watch(KEY)
    publisher.note(gray(64, 48), place(0), [])
    publisher.close()
    publisher.close()
    assert frames.read(KEY) is None


def test_a_sweep_takes_what_a_dead_process_left(
    frames: LiveFrames, clock: ManualClock, tmp_path: Path
) -> None:
    """Frames nobody watches go; those that are watched stay, as does what is being written."""
    frames.publish("left", {}, b"jpeg")
    frames.watch(KEY)
    frames.publish(KEY, {}, b"jpeg")
    (tmp_path / "live" / ".x.frame.1").touch()
    frames.sweep()
    there = {path.name for path in (tmp_path / "live").iterdir()}
    assert there == {f"{KEY}.watch", f"{KEY}.frame", ".x.frame.1"}
    clock.advance(LEASE_SECONDS + 1)
    frames.sweep()
    assert {path.name for path in (tmp_path / "live").iterdir()} == {".x.frame.1"}
    frames.clear()
    assert list((tmp_path / "live").iterdir()) == []


def test_a_lease_of_a_clock_that_was_ahead_does_not_hold(
    frames: LiveFrames, clock: ManualClock
) -> None:
    """A file of a time to come is no watcher."""
    clock.advance(3600)
    frames.watch(KEY)
    clock.advance(-3600)
    assert not frames.is_watched(KEY)
