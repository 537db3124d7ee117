"""Delivery: what is appended arrives, in order, with its metrics; what waits, waits for room."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from streamd.clock import SystemClock
from streamd.pipeline.outbox import Outbox
from streamd.records import Kind
from streamd.sinks import (
    Sink,
    SinkGoneError,
    SinkUnavailableError,
)
from streamd.sinks.local import LocalSink
from tests.support.delivery import FakeSink, append, eventually, item, running

FULL = "streamd_outbox_full"


async def test_what_is_appended_arrives(tmp_path: Path) -> None:
    """Items appended by a thread, before and after the start, arrive in order."""
    sink = FakeSink()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"), item("2"))
        await append(bench, item("3"))
        assert await bench.delivery.drain(10)
    assert sink.arrived == ["1", "2", "3"]


async def test_leftovers_of_an_earlier_run_arrive_first(tmp_path: Path) -> None:
    """A restart delivers what the outbox holds."""
    box = Outbox(tmp_path / "outbox/door.sqlite", max_bytes=1_000)
    box.append([item("left")])
    box.close()
    sink = FakeSink()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("new"))
        assert await bench.delivery.drain(10)
    assert sink.arrived == ["left", "new"]


async def test_a_notification_waits_for_the_objects_it_names(tmp_path: Path) -> None:
    """Each kind goes out in a call of its own, after everything before it has arrived."""
    sink = FakeSink(SinkUnavailableError("busy", settled=[1]))
    async with running(tmp_path, sink) as bench:
        await append(
            bench, item("frame", "s3"), item("crop", "s3"), item("note", "sns"), item("end", "s3")
        )
        assert await bench.delivery.drain(10)
    assert sink.calls == [["frame", "crop"], ["frame"], ["note"], ["end"]]


async def test_notifications_leave_in_small_calls(tmp_path: Path) -> None:
    """A kill repeats ten at most, and a slow receiver does not make the others old."""
    sink = FakeSink()
    async with running(tmp_path, sink) as bench:
        await append(bench, *(item(str(number), "sns") for number in range(25)))
        assert await bench.delivery.drain(10)
    assert [len(call) for call in sink.calls] == [10, 10, 5]


async def test_fragments_are_reported_once_delivered(tmp_path: Path) -> None:
    """Also those without any result."""
    sink = FakeSink()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"), fragment="F1")
        assert await bench.delivery.drain(10)
        await append(bench, fragment="F2")
        await eventually(lambda: bench.delivered == ["F1", "F2"])


async def test_metrics_tell_what_waits_and_what_arrived(tmp_path: Path) -> None:
    """Gauges for the outbox, a counter and the latency from the frame's arrival."""
    sink = FakeSink()
    sink.blocked.clear()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1", arrived_ms="1700000000000"), item("2"))
        gauge = "streamd_outbox_items"
        await eventually(lambda: bench.value(gauge, stream_processor="door") == 2)
        sink.blocked.set()
        assert await bench.delivery.drain(10)
    assert bench.value("streamd_outbox_items", stream_processor="door") == 0
    assert bench.value("streamd_outbox_bytes", stream_processor="door") == 0
    assert bench.value("streamd_records_delivered_total", sink="fake") == 2
    assert bench.value("streamd_record_latency_seconds_count", sink="fake") == 1


async def test_a_delivery_that_ended_reports_nothing_more(tmp_path: Path) -> None:
    """Another process may have taken the outbox over and report it."""
    async with running(tmp_path, FakeSink(SinkGoneError("gone"))) as bench:
        await append(bench, item("1"))
        assert not await bench.delivery.drain(10)
        assert bench.outbox.pending() == 1
    assert bench.value("streamd_outbox_items", stream_processor="door") == 0


async def test_draining_has_a_deadline(tmp_path: Path) -> None:
    """A sink that is away does not hold up the shutdown; the items stay."""
    sink = FakeSink()
    sink.blocked.clear()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"))
        assert not await bench.delivery.drain(0.01)
        assert bench.outbox.pending() == 1


async def test_intake_waits_for_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full outbox holds a session up until items have left; a gauge and the log say so."""
    caplog.set_level(logging.INFO)
    sink = FakeSink()
    sink.blocked.clear()
    async with running(tmp_path, sink) as bench:
        await append(bench, *(item(str(number)) for number in range(10)))
        full = await bench.delivery.wait_for_room(0.01)
        waiting = asyncio.create_task(bench.delivery.wait_for_room(10))
        await eventually(lambda: bench.value(FULL, stream_processor="door") == 1)
        sink.blocked.set()
        assert (full, await waiting) == (False, True)
    assert bench.value(FULL, stream_processor="door") == 0
    assert "outbox is full with 10 results of 2010 bytes: video waits" in caplog.text
    assert "outbox has room again" in caplog.text


async def test_who_waits_for_room_hears_of_the_end(tmp_path: Path) -> None:
    """When the target is gone no room will come."""
    async with running(tmp_path, FakeSink(SinkGoneError("gone"))) as bench:
        await append(bench, *(item(str(number)) for number in range(10)))
        assert not await bench.delivery.wait_for_room(10)


async def test_a_cancelled_delivery_notes_what_has_arrived(tmp_path: Path) -> None:
    """Between acknowledgement and note, a cancellation waits: nothing is repeated."""
    sink = FakeSink()
    async with running(tmp_path, sink) as bench:
        real = bench.outbox.acknowledge
        entered = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(up_to_seq: int) -> str | None:
            loop.call_soon_threadsafe(entered.set)
            return real(up_to_seq)

        bench.outbox.acknowledge = slow  # type: ignore[method-assign]  # the seam of this test
        await append(bench, item("1"))
        async with asyncio.timeout(10):
            await entered.wait()
    again = Outbox(tmp_path / "outbox/door.sqlite", max_bytes=1_000)
    assert again.pending() == 0
    again.close()


async def test_records_reach_files(tmp_path: Path) -> None:
    """With the local sink, end to end: lines in the stream's file, in order."""
    sink = LocalSink(tmp_path / "outputs", clock=SystemClock())

    class Sinks:
        def sink_for(self, kind: Kind) -> Sink:
            assert kind == "kinesis"
            return sink

    async with running(tmp_path, Sinks()) as bench:
        for number in range(50):
            await append(bench, item(str(number)))
        assert await bench.delivery.drain(10)
    await sink.aclose()
    lines = (tmp_path / "outputs/kinesis/faces.jsonl").read_text().splitlines()
    assert lines == [str(number) for number in range(50)]


async def test_a_late_result_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line joins its event id to stream processor, session and sink; the next waits a minute."""
    caplog.set_level("INFO", "streamd.pipeline.delivery")
    async with running(tmp_path, FakeSink(), session_id="run-1") as bench:
        late = str(int((time.time() - 9) * 1000))
        await append(
            bench,
            item("a", event_id="e-1", arrived_ms=late),
            item("b", event_id="e-2", arrived_ms=late),
        )
        await eventually(lambda: bench.outbox.pending() == 0)
    (line,) = [r.__dict__ for r in caplog.records if r.message == "a result came late"]
    assert (line["event_id"], line["stream_processor"]) == ("e-1", "door")
    assert (line["session"], line["sink"]) == ("run-1", "fake")
    assert line["seconds"] >= 9


async def test_every_result_is_named_at_level_debug(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who looks for one record finds when it went where."""
    caplog.set_level("DEBUG", "streamd.pipeline.delivery")
    async with running(tmp_path, FakeSink()) as bench:
        await append(bench, item("a", event_id="e-1"), item("k/frame.jpg", "s3"))
        await eventually(lambda: bench.outbox.pending() == 0)
    lines = [r.__dict__ for r in caplog.records if r.message == "result delivered"]
    assert [line.get("event_id") or line["key"] for line in lines] == ["e-1", "k/frame.jpg"]
