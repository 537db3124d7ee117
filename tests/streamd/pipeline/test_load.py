"""The measured load of a session."""

from __future__ import annotations

import pytest

from streamd.pipeline.load import LoadMeter


def _run(meter: LoadMeter, start: float, seconds: int, busy: float) -> list[float]:
    told = []
    for second in range(seconds):
        meter.add(busy)
        if (load := meter.look(start + second + 1)) is not None:
            told.append(load)
    return told


def test_load_is_unknown_at_first_and_then_told_once() -> None:
    """A steady load is told after ten seconds, and not again."""
    meter = LoadMeter(0.0)
    assert _run(meter, 0.0, 9, 0.3) == []
    assert _run(meter, 9.0, 600, 0.3) == [pytest.approx(0.3)]
    assert meter.threads == pytest.approx(0.3)


def test_change_is_told_when_it_tells_something() -> None:
    """A tenth more is noise; from idle to busy is news, told until it has settled."""
    meter = LoadMeter(0.0)
    _run(meter, 0.0, 60, 0.5)
    assert _run(meter, 60.0, 120, 0.55) == []
    told = _run(meter, 180.0, 300, 1.5)
    assert told == sorted(told)
    assert 1.2 < told[-1] <= 1.5
    assert len(told) < 8


def test_idle_session_is_known_to_be_idle() -> None:
    """Nothing to analyse is a load of 0, which is not the same as unknown."""
    assert _run(LoadMeter(0.0), 0.0, 20, 0.0) == [0.0]


def test_two_looks_at_once_are_one() -> None:
    """A look without time in between divides by nothing."""
    meter = LoadMeter(5.0)
    meter.add(1.0)
    assert meter.look(5.0) is None
    assert meter.threads == 0.0
