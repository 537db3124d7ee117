"""A camera's clock is read from its reports and believed within bounds."""

from __future__ import annotations

import struct

import pytest

from streamd.producer.camera_clock import (
    CameraClock,
    ClockChoice,
    ClockSource,
    reference_time_ns,
)

S = 1_000_000_000
NOW = 1_700_000_000 * S


def test_reference_time_is_read_in_microseconds() -> None:
    """libavcodec's struct: int64 wallclock in microseconds, then flags."""
    assert reference_time_ns(struct.pack("=qii", 1_700_000_000_250_000, 24, 0)) == NOW + S // 4


def test_a_silent_camera_has_no_time() -> None:
    """Before the first report nothing is guessed."""
    assert CameraClock().taken_ns(5) is None


def test_one_wrong_packet_does_not_move_the_clock() -> None:
    """The parser hands the first time after each report to the packet before it."""
    clock = CameraClock()
    for index in range(5):
        clock.learn(index * S, NOW + index * S)
    clock.learn(5 * S, NOW + 5 * S + S // 10)
    assert clock.taken_ns(6 * S) == NOW + 6 * S


def test_a_clock_that_was_set_is_followed() -> None:
    """A camera that learns the time while it runs is right after a few packets."""
    clock = CameraClock()
    for index in range(20):
        clock.learn(index * S, index * S)
    for index in range(20, 26):
        clock.learn(index * S, NOW + index * S)
    assert clock.taken_ns(30 * S) == NOW + 30 * S


@pytest.mark.parametrize(
    ("source", "ahead", "believed"),
    [
        (ClockSource.AUTO, -0.4, True),
        (ClockSource.AUTO, -9.0, True),
        (ClockSource.AUTO, -11.0, False),
        (ClockSource.AUTO, 0.9, True),
        (ClockSource.AUTO, 1.1, False),
        (ClockSource.AUTO, -1_700_000_000, False),
        (ClockSource.CAMERA, 7200, True),
        (ClockSource.CAMERA, -90_000, False),
        (ClockSource.CAMERA, -1_700_000_000, False),
        (ClockSource.SERVER, -0.1, False),
    ],
)
def test_bounds(source: ClockSource, ahead: float, *, believed: bool) -> None:
    """Seconds in auto, a day in camera, never in server; the year 1970 nowhere."""
    choice = ClockChoice(source)
    taken = NOW + int(ahead * S)
    assert choice.choose(taken, NOW) == (taken if believed else NOW)
    assert choice.uses_camera is believed
    assert choice.offset_seconds == pytest.approx(ahead)


def test_a_wrong_clock_is_told_once_and_again_after_it_was_right() -> None:
    """The line names the offset; a clock at the edge of the bounds does not flap."""
    choice = ClockChoice(ClockSource.AUTO)
    told = []
    for ahead in (3600.0, 3601.0, 0.8, 0.2, 0.8, 7200.0):
        choice.choose(NOW + int(ahead * S), NOW)
        told.append((choice.uses_camera, choice.complaint()))
    assert [used for used, _ in told] == [False, False, False, True, True, False]
    assert [text is not None for _, text in told] == [True, False, False, False, False, True]
    assert "+3600.0 s off" in (told[0][1] or "")


def test_nobody_complains_of_a_clock_that_is_not_asked() -> None:
    """With the server's clock set, the camera's is measured and else left alone."""
    choice = ClockChoice(ClockSource.SERVER)
    assert choice.choose(NOW - 3600 * S, NOW) == NOW
    assert choice.offset_seconds == -3600.0
    assert choice.complaint() is None


def test_without_reports_the_server_counts() -> None:
    """No sender report, no offset."""
    choice = ClockChoice(ClockSource.CAMERA)
    assert choice.choose(None, NOW) == NOW
    assert (choice.offset_seconds, choice.complaint()) == (None, None)
