"""Delays between attempts."""

from __future__ import annotations

from streamd.retry import Backoff


def test_delays_grow_to_the_cap() -> None:
    """Each lies in the upper half of a ceiling that doubles and then stays."""
    backoff = Backoff(base_seconds=1.0, cap_seconds=5.0)
    for ceiling in (1, 2, 4, 5, 5, 5):
        assert ceiling / 2 <= backoff.next_delay() <= ceiling


def test_success_begins_anew() -> None:
    """After a reset the next failure waits for the base again."""
    backoff = Backoff(base_seconds=1.0, cap_seconds=100.0)
    for _ in range(10):
        backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1.0


def test_days_of_failures_overflow_nothing() -> None:
    """The ceiling is computed however often it fails."""
    backoff = Backoff(base_seconds=0.1, cap_seconds=10.0)
    for _ in range(5000):
        assert backoff.next_delay() <= 10.0


def test_those_who_fail_together_do_not_come_back_together() -> None:
    """Delays of many differ."""
    assert len({Backoff().next_delay() for _ in range(20)}) > 10
