"""Delivery of what has waited too long."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.config import OutboxSettings
from streamd.pipeline.outbox import Outbox
from streamd.sinks import (
    SinkUnavailableError,
)
from tests.support.clock import ManualClock
from tests.support.delivery import FakeSink, append, eventually, item, running


@pytest.mark.parametrize(
    ("limits", "buried"),
    [
        ({}, []),
        ({"max_age_hours": 2}, []),
        ({"max_age_hours": 0.5}, ["1", "2"]),
        ({"max_notification_age_seconds": 60}, ["2"]),
    ],
    ids=["for ever", "young enough", "all", "notifications"],
)
async def test_what_waited_too_long_becomes_a_dead_letter(
    tmp_path: Path, limits: dict[str, float], buried: list[str]
) -> None:
    """A late alert may do harm; it is counted and kept, and the rest goes on."""
    clock = ManualClock()
    box = Outbox(tmp_path / "outbox/door.sqlite", max_bytes=1_000, clock=clock)
    box.append([item("1"), item("2", "sns")])
    box.close()
    clock.advance(3600)
    sink = FakeSink()
    options = {"settings": OutboxSettings.model_validate(limits), "clock": clock}
    async with running(tmp_path, sink, **options) as bench:
        await append(bench, item("3", "sns"))
        assert await bench.delivery.drain(10)
        letters = bench.dead_letters() if buried else []
    assert sink.arrived == [name for name in ("1", "2", "3") if name not in buried]
    assert [letter["key"] for letter in letters] == buried
    assert all(
        letter["reason"].startswith("waited 3600 s, longer than 'outbox.m") for letter in letters
    )
    count = bench.value("streamd_dead_letters_total", sink="fake", reason="expired")
    assert count == (len(buried) or None)


async def test_an_item_expires_while_its_sink_is_away(tmp_path: Path) -> None:
    """It does not wait for the sink's return: its time is looked at before each attempt."""
    clock = ManualClock()
    sink = FakeSink(*[SinkUnavailableError("away")] * 100_000)
    limits = OutboxSettings(max_notification_age_seconds=10)
    async with running(tmp_path, sink, settings=limits, clock=clock) as bench:
        await append(bench, item("1", "sns"))
        await eventually(lambda: bench.delivery.trouble is not None)
        clock.advance(11)
        assert await bench.delivery.drain(10)
    assert [letter["key"] for letter in bench.dead_letters()] == ["1"]
