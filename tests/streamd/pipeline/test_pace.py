"""Overload: the rate falls step by step while frames wait, and comes back when they don't."""

from __future__ import annotations

import pytest

from streamd.pipeline.pace import FULL_PACE, Pace, PaceKeeper, RealTime

LATE, EARLY, BETWEEN = 1.0, 0.05, 0.3


def _run(keeper: PaceKeeper, wait: float, *, start: float, seconds: float) -> Pace:
    for tick in range(round(seconds * 5)):
        keeper.note(wait, now_seconds=start + tick / 5)
    return keeper.pace


def test_rate_falls_to_keyframes_while_frames_are_late() -> None:
    """One step a second, down to the cheapest, and no further."""
    keeper = PaceKeeper()
    assert keeper.pace is FULL_PACE
    _run(keeper, LATE, start=100, seconds=2.2)
    assert keeper.pace.share < 1
    assert _run(keeper, LATE, start=103, seconds=20) == Pace(share=0.2, keyframes_only=True)


def test_rate_comes_back_when_there_is_time() -> None:
    """From the bottom to the full rate, slowly."""
    keeper = PaceKeeper()
    _run(keeper, LATE, start=100, seconds=20)
    assert _run(keeper, EARLY, start=121, seconds=4).keyframes_only
    assert _run(keeper, EARLY, start=125, seconds=500) is FULL_PACE


def test_one_hiccup_is_no_overload() -> None:
    """A late frame among timely ones changes nothing."""
    keeper = PaceKeeper()
    for tick in range(200):
        keeper.note(3.0 if tick % 4 == 0 else EARLY, now_seconds=100 + tick / 5)
    assert keeper.pace is FULL_PACE


def test_rate_holds_between_late_and_early() -> None:
    """Neither too late nor time to spare: as it is."""
    keeper = PaceKeeper()
    before = _run(keeper, LATE, start=100, seconds=3)
    assert _run(keeper, BETWEEN, start=104, seconds=100) == before


def test_step_up_that_fails_is_tried_less_often() -> None:
    """At the edge of what the machine can do it does not swing all the time."""
    keeper = PaceKeeper()
    now, changes, last = 100.0, 0, keeper.pace
    for _ in range(5 * 600):
        # The full rate is too much, four fifths of it are not.
        keeper.note(LATE if keeper.pace is FULL_PACE else EARLY, now_seconds=now)
        now += 0.2
        changes, last = changes + (keeper.pace != last), keeper.pace
    assert changes < 40


def test_media_in_real_time_is_told_from_a_file() -> None:
    """A camera's frames come when they are shown; a file's all at once."""
    camera, file = RealTime(), RealTime()
    assert all(camera.note(5_000 + 33 * i, epoch_ms=1_000_000 + 33 * i) for i in range(3000))
    told = [file.note(33 * i, epoch_ms=1_000_000 + i) for i in range(3000)]
    assert told[0]
    assert not any(told[100:])


@pytest.mark.parametrize("jitter_ms", [0, 300, 900], ids=str)
def test_jitter_of_a_network_is_real_time(jitter_ms: int) -> None:
    """Frames that come late and then at once are a camera's."""
    camera = RealTime()
    for i in range(1000):
        late = jitter_ms if i % 7 < 3 else 0
        assert camera.note(40 * i, epoch_ms=1_000_000 + 40 * i + late)


def test_buffer_caught_up_is_not_slowed_and_then_is_live_again() -> None:
    """After an outage the camera sends what it kept, faster; then it is in real time again."""
    camera = RealTime()
    caught_up = [camera.note(100 * i, epoch_ms=1_030_000 + 10 * i) for i in range(330)]
    assert not any(caught_up[20:])
    live = [camera.note(33_000 + 100 * i, epoch_ms=1_033_300 + 100 * i) for i in range(300)]
    assert all(live[-50:])
