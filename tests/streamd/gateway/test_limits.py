from __future__ import annotations

import asyncio
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.gateway import limits
from streamd.gateway.limits import CallRate, Connections, Pace
from streamd.protocol.errors import ServiceError


class Seconds:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 0.5), max_size=40))
def test_no_second_has_more_calls_than_allowed(gaps: list[float]) -> None:
    """However calls are spread, no second brings more than five through, and five always pass."""
    clock = Seconds()
    rate = CallRate(5, monotonic=clock)
    passed: list[float] = []
    for gap in gaps:
        clock.now += gap
        recent = [at for at in passed if clock.now - at < 1.0]
        try:
            rate.check("GetMedia", "arn")
            passed.append(clock.now)
        except ServiceError:
            assert len(recent) == 5
    for index in range(len(passed) - 5):
        assert passed[index + 5] - passed[index] >= 1.0


def test_calls_are_counted_by_operation_and_stream() -> None:
    """One stream's callers do not slow another's; one operation's not another."""
    rate = CallRate(1, monotonic=Seconds())
    for operation, arn in (("GetMedia", "a"), ("GetMedia", "b"), ("PutMedia", "a")):
        rate.check(operation, arn)
    with pytest.raises(ServiceError, match="GetMedia can be called 1 times a second") as caught:
        rate.check("GetMedia", "a")
    assert caught.value.code == "ClientLimitExceededException"


def test_streams_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the most recently called are watched."""
    monkeypatch.setattr(limits, "MAX_WATCHED", 2)
    rate = CallRate(1, monotonic=Seconds())
    for arn in ("a", "b", "c", "a"):
        rate.check("GetMedia", arn)
    assert len(rate._calls) == 2


def test_without_a_limit_nothing_is_counted() -> None:
    """``None`` lets everything pass."""
    rate, connections = CallRate(None), Connections("GetMedia", None)
    for _ in range(100):
        rate.check("GetMedia", "a")
    with connections.one("a"), connections.one("a"):
        pass
    assert (rate._calls, connections._open) == ({}, {})


def test_connections_are_held_while_they_last() -> None:
    """The limit counts those that are open now, per stream; a broken one is given back."""
    connections = Connections("GetMedia", 2)
    with connections.one("a"), connections.one("a"), connections.one("b"):
        with pytest.raises(ServiceError) as caught, connections.one("a"):
            pass
        assert caught.value.code == "ConnectionLimitExceededException"
    with pytest.raises(KeyError), connections.one("a"):
        raise KeyError
    assert connections._open == {}


async def test_pace_waits_for_what_is_beyond_a_second() -> None:
    """A second's worth goes at once; what follows waits for its time."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    loop = mock.Mock(time=Seconds())
    with (
        mock.patch.object(asyncio, "sleep", sleep),
        mock.patch.object(asyncio, "get_running_loop", return_value=loop),
    ):
        pace = Pace(100)
        await pace.spend(100)
        assert slept == []
        await pace.spend(50)
        assert slept == [0.5]
        loop.time.now += 0.5
        await pace.spend(0)
        await pace.spend(100)
        assert slept == [0.5, 1.0]
        loop.time.now += 1000  # a rest earns one second, not more
        await pace.spend(200)
        assert slept == [0.5, 1.0, 1.0]
        await Pace(None).spend(1e12)
    assert len(slept) == 3
