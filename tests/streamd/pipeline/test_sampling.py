"""Which frames are analysed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.pipeline.sampling import Sampler

MS = 1_000_000


def taken(fps: float, times_ms: Sequence[float]) -> list[float]:
    """The times of those frames that are analysed."""
    sampler = Sampler(fps)
    return [time for time in times_ms if sampler.wants(round(time * MS))]


def test_every_sixth_of_thirty() -> None:
    """At 5 per second every sixth frame of 30 per second is taken, from the first."""
    times = [round(index * 1000 / 30) for index in range(60)]
    assert taken(5, times) == [0, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800]


def test_slow_video_is_taken_whole() -> None:
    """Video no faster than the analysis is analysed whole, jitter or not."""
    assert taken(5, [0, 200, 400, 600]) == [0, 200, 400, 600]
    assert taken(5, [0, 190, 405, 570, 810]) == [0, 190, 405, 570, 810]
    assert taken(5, [0, 1000, 2000]) == [0, 1000, 2000]


def test_odd_rates_average_out() -> None:
    """24 frames a second at 10 analysed give 10 a second, unevenly spaced."""
    assert len(taken(10, [index * 1000 / 24 for index in range(24 * 10)])) == 100


def test_after_a_gap_nothing_is_made_up_for() -> None:
    """Frames after a gap come no faster than the rate."""
    times = [0.0, *(60_000 + index * 40 for index in range(25))]
    assert taken(5, times) == [0, 60_000, 60_200, 60_400, 60_600, 60_800]


def test_times_passed_already() -> None:
    """Frames of a fragment that is read again are not taken twice."""
    assert taken(5, [0, 200, 400, 0, 200, 400, 600]) == [0, 200, 400, 600]


@given(
    st.floats(0.1, 60),
    st.lists(st.floats(0, 500), min_size=1, max_size=200),
)
def test_never_faster_than_the_rate(fps: float, steps_ms: list[float]) -> None:
    """Whatever the timestamps, no stretch of time has more frames than the rate allows."""
    times = list(accumulate(steps_ms))
    chosen = taken(fps, times)
    assert chosen[0] == times[0]
    for index, start in enumerate(chosen):
        for count, end in enumerate(chosen[index:], start=1):
            # One for the frame at the start, one for a grid that was late, a quarter for jitter.
            assert count <= (end - start) / 1000 * fps * 1.01 + 2.3


def test_very_slow_rates() -> None:
    """A frame in a day is a rate as well."""
    assert taken(1 / 86_400, [0, 43_200_000, 86_400_000]) == [0, 86_400_000]


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_rates_that_cannot_be(fps: float) -> None:
    """A rate must be a number above 0."""
    with pytest.raises(ValueError, match="above 0"):
        Sampler(fps)


def test_slower_pace_takes_a_share_of_the_frames() -> None:
    """At a fifth of 10 frames a second, 2 are taken; at the full share 10 again."""
    sampler = Sampler(fps=10)
    sampler.slow_to(0.2)
    slow = sum(sampler.wants(index * 100_000_000) for index in range(100))
    sampler.slow_to(1)
    full = sum(sampler.wants(index * 100_000_000) for index in range(100, 200))
    assert (slow, full) == (20, 100)
