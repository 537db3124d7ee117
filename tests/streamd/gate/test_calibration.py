"""What can be learnt of a stream, and what shows that it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from streamd.gate.calibration import Calibration, GateProfile, Verdict
from streamd.gate.complexity import Cost
from streamd.gate.scene import COLUMNS, HEIGHT_PX, ROWS, WIDTH_PX, Luma, Scene

NS = 1_000_000_000
CODEC = ("V_MPEG4/ISO/AVC", b"avcC")
FPS = 20


def empty() -> Luma:
    return np.full((HEIGHT_PX, WIDTH_PX), 90, np.uint8)


def with_somebody() -> Luma:
    luma = empty()
    luma[30:60, 70:90] = 20
    return luma


def learn(
    seconds: float,
    *,
    group_seconds: float = 2.0,
    moves: Callable[[float], bool] = lambda _: False,
    log_bytes: Callable[[float], float] = lambda _: 12.0,
    shows: Callable[[float], bool] | None = None,
) -> tuple[Verdict, GateProfile | None]:
    """Calibrate on a stream whose motion, cost and keyframes are functions of time."""
    calibration = Calibration(Scene(np.ones((ROWS, COLUMNS), np.bool_)))
    verdict: tuple[Verdict, GateProfile | None] = (Verdict.UNDECIDED, None)
    noise = np.random.default_rng(0)
    for index in range(int(seconds * FPS)):
        at, time_ns = index / FPS, index * NS // FPS
        is_entry = index % int(group_seconds * FPS) == 0
        if is_entry:
            verdict = calibration.verdict(CODEC, ())
            if verdict[0] is not Verdict.UNDECIDED:
                break
        cost = None if is_entry else Cost(("P", False), 30, log_bytes(at) + noise.normal(0, 0.05))
        calibration.add(time_ns, cost, is_entry=is_entry)
        if is_entry or index % 4 == 0:
            luma = with_somebody() if (shows or moves)(at) else empty()
            calibration.look(time_ns, luma, moved=moves(at), is_keyframe=is_entry)
    return verdict


def test_still_stream_is_learnt_in_a_quarter_of_a_minute() -> None:
    """Enough is enough: a profile with tight limits, after 12 seconds and before 18."""
    assert learn(12.0) == (Verdict.UNDECIDED, None)
    verdict, profile = learn(18.1)
    assert verdict is Verdict.SEPARABLE
    assert profile is not None
    assert profile.codec == CODEC
    assert max(profile.limits) < 0.25
    assert not profile.is_above((0.0, 0.0, 0.0))
    assert profile.is_above((0.0, 0.3, 0.0))


def visits(at: float) -> bool:
    """One and a half seconds inside every third group."""
    return 0.2 < (at - 0.2) % 6 < 1.7


def test_motion_that_packets_tell_is_separable() -> None:
    """Visits between keyframes cost bits: every group with one would have woken the gate."""
    verdict, profile = learn(
        40, moves=visits, log_bytes=lambda at: 14 if visits(at) else 12, shows=lambda _: False
    )
    assert verdict is Verdict.SEPARABLE
    assert profile is not None


def test_motion_that_nothing_tells_is_not() -> None:
    """The same visits without a trace in packets or keyframes: decode everything."""
    assert learn(40, moves=visits, shows=lambda _: False)[0] is Verdict.NOT_SEPARABLE


def test_motion_that_keyframes_tell_is_separable() -> None:
    """Packets say nothing, but every visit is there at a keyframe."""
    verdict, _ = learn(40, moves=lambda at: 5.5 < at % 12 < 8.5)
    assert verdict is Verdict.SEPARABLE


def test_motion_all_the_time_is_never_decided() -> None:
    """There is no quiet to learn; the gate gives up when the time for it is over."""
    assert learn(50, moves=lambda _: True)[0] is Verdict.UNDECIDED


def test_costs_that_stray_are_not_learnt() -> None:
    """Where the quiet itself costs twice as much for seconds on end, a visitor would not show."""
    stray = learn(60, log_bytes=lambda at: 12 + (at % 7 < 2))
    assert stray[0] is Verdict.UNDECIDED


def test_groups_that_are_too_long() -> None:
    """More than may be kept: no gate."""
    assert learn(60, group_seconds=11)[0] is Verdict.NOT_SEPARABLE


def test_time_enough() -> None:
    """A minute after its first packet it is over."""
    calibration = Calibration(Scene(np.ones((ROWS, COLUMNS), np.bool_)))
    assert not calibration.is_exhausted(100 * NS)
    calibration.add(0, None, is_entry=True)
    assert not calibration.is_exhausted(60 * NS)
    assert calibration.is_exhausted(60 * NS + 1)


@pytest.mark.parametrize(("peak", "is_learnt"), [(0.3, True), (0.6, False)])
def test_false_alarms_raise_the_limits_within_bounds(peak: float, is_learnt: bool) -> None:
    """Beyond them a visitor would not show any more."""
    _, profile = learn(18.1)
    assert profile is not None
    profile = replace(profile, limits=(0.2, 0.2, 0.2), highest=0.5)
    raised = profile.raised((peak, peak, peak))
    assert (raised is not None) is is_learnt
    assert raised is None or not raised.is_above((peak, peak, peak))
