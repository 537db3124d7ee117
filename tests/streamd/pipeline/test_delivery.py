"""Delivery: from an outbox to sinks that fail in every way they may."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from streamd.clock import Clock, SystemClock
from streamd.config import KafkaSettings, OutboxSettings
from streamd.metrics import Metrics
from streamd.pipeline import dead_letters as dead_letters_module
from streamd.pipeline.delivery import Delivery
from streamd.pipeline.outbox import Outbox, OutboxTakenError
from streamd.records import Kind, OutboxItem
from streamd.retry import Backoff
from streamd.sinks import (
    Sink,
    SinkGoneError,
    SinkRejectedError,
    SinkUnavailableError,
    jsonl,
)
from streamd.sinks.kafka import KafkaSink
from streamd.sinks.local import LocalSink
from tests.support.clock import ManualClock
from tests.support.kafka import mock_cluster, read_topic

STREAM_ARN = "arn:aws:kinesis:us-east-1:111122223333:stream/faces"
TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:porch"
FULL = "streamd_outbox_full"
TARGETS: dict[Kind, str] = {"kinesis": STREAM_ARN, "s3": "bucket", "sns": TOPIC_ARN}


def item(
    name: str, kind: Kind = "kinesis", *, target: str | None = None, **attributes: str
) -> OutboxItem:
    return OutboxItem(
        kind=kind,
        target=target or TARGETS[kind],
        key=name,
        content_type="application/json",
        body=name.encode(),
        attributes=attributes,
    )


class FakeSink:
    """Takes everything, unless a plan for the call says otherwise."""

    name = "fake"

    def __init__(self, *plans: Exception | None) -> None:
        self._plans = list(plans)
        self.calls: list[list[str]] = []
        self.arrived: list[str] = []
        self.blocked = asyncio.Event()
        self.blocked.set()

    async def open(self) -> None:
        """Nothing to do."""

    async def check(self, target: str) -> None:
        """Everything is there."""

    async def aclose(self) -> None:
        """Nothing to do."""

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """Follow the next plan."""
        await self.blocked.wait()
        names = [found.key for found in items]
        self.calls.append(names)
        plan = self._plans.pop(0) if self._plans else None
        if plan is None:
            self.arrived += names
            return
        settled = getattr(plan, "settled", ())
        self.arrived += [name for position, name in enumerate(names) if position in settled]
        raise plan

    def sink_for(self, kind: Kind) -> Sink:
        """Be the sink of every kind."""
        assert kind in TARGETS
        return self


class Bench:
    """A delivery, what it delivers and what it reports."""

    def __init__(
        self, directory: Path, sinks: Any, *, clock: Clock | None = None, **options: Any
    ) -> None:
        self.directory = directory
        self.metrics = Metrics(CollectorRegistry())
        self.outbox = Outbox(directory / "outbox/door.sqlite", max_bytes=1_000, clock=clock)
        self.outbox.begin("session")
        self.delivered: list[str] = []
        self.gone: list[str] = []
        self.health: list[str | None] = []
        self.executor = ThreadPoolExecutor(1)
        self.delivery = Delivery(
            self.outbox,
            sinks,
            processor_name="door",
            dead_letter_dir=directory / "dead-letter",
            metrics=self.metrics,
            clock=clock or SystemClock(),
            run_blocking=self.run_blocking,
            on_delivered=self.delivered.append,
            on_gone=self.gone.append,
            on_health=self.health.append,
            backoff=Backoff(base_seconds=0.001, cap_seconds=0.01),
            **options,
        )

    async def run_blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *args)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def dead_letters(self) -> list[dict[str, Any]]:
        text = (self.directory / "dead-letter/door.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@asynccontextmanager
async def running(directory: Path, sinks: Any, **options: Any) -> AsyncIterator[Bench]:
    bench = Bench(directory, sinks, **options)
    task = asyncio.create_task(bench.delivery.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bench.outbox.close()
        bench.executor.shutdown()


async def eventually(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110  # metrics and attributes give no event
            await asyncio.sleep(0.001)


async def append(bench: Bench, *items: OutboxItem, fragment: str | None = None) -> None:
    """Append in a thread, as a session does."""
    await asyncio.to_thread(bench.outbox.append, items, fragment_done=fragment)


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


async def test_an_unavailable_sink_is_tried_again(tmp_path: Path) -> None:
    """Only what has not arrived is sent again; trouble and recovery are reported once."""
    sink = FakeSink(SinkUnavailableError("away"), SinkUnavailableError("away", settled=[0]), None)
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"), item("2"))
        assert await bench.delivery.drain(10)
    assert sink.calls == [["1", "2"], ["1", "2"], ["2"]]
    assert bench.health == ["Output is unavailable: away", None]
    assert bench.delivery.trouble is None


async def test_a_poison_record_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    """It goes to the dead letters, whole and with its reason, and is counted."""
    sink = FakeSink(SinkRejectedError({1: "too long"}, settled=[0]))
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"), item("2", event_id="e-2"), item("3"), fragment="F1")
        assert await bench.delivery.drain(10)
    assert sink.arrived == ["1", "3"]
    (letter,) = bench.dead_letters()
    assert letter.pop("time").endswith("+00:00")
    assert letter == {
        "sink": "fake",
        "reason": "too long",
        "kind": "kinesis",
        "target": STREAM_ARN,
        "key": "2",
        "contentType": "application/json",
        "attributes": {"event_id": "e-2"},
        "body": "2",
    }
    labels = {"sink": "fake", "error": "SinkRejectedError"}
    assert bench.value("streamd_sink_errors_total", **labels) == 1
    assert bench.value("streamd_dead_letters_total", sink="fake", reason="refused") == 1
    assert bench.delivered == ["F1"]


async def test_a_picture_is_kept_in_the_dead_letters(tmp_path: Path) -> None:
    """What is not text is there as base64, in a file for its owner only."""
    picture = OutboxItem(
        kind="s3", target="bucket", key="a.jpg", content_type="image/jpeg", body=b"\xff\xd8"
    )
    async with running(tmp_path, FakeSink(SinkRejectedError({0: "no"}))) as bench:
        await append(bench, picture)
        assert await bench.delivery.drain(10)
    assert bench.dead_letters()[0]["bodyBase64"] == "/9g="
    mode = os.stat(tmp_path / "dead-letter/door.jsonl").st_mode  # noqa: PTH116  # no path method on the loop
    assert stat.S_IMODE(mode) == 0o600


async def test_dead_letters_wait_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused record is not lost because it cannot be written down at first."""
    real = jsonl.append_lines
    failures = iter([OSError(errno.ENOSPC, "No space left on device")])

    def full_once(*args: Any, **options: Any) -> None:
        for failure in failures:
            raise failure
        real(*args, **options)

    monkeypatch.setattr(dead_letters_module, "append_lines", full_once)
    async with running(tmp_path, FakeSink(SinkRejectedError({0: "no"}))) as bench:
        await append(bench, item("1"))
        assert await bench.delivery.drain(10)
    assert [letter["key"] for letter in bench.dead_letters()] == ["1"]


async def test_a_gone_target_ends_delivery(tmp_path: Path) -> None:
    """The message is reported; what has not arrived stays for the next session."""
    sink = FakeSink(SinkGoneError("Stream faces under account 1 not found", settled=[0]))
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"), item("2"))
        assert not await bench.delivery.drain(10)
        assert [found.key for _, found in bench.outbox.peek(9, 9_999)] == ["2"]
    assert bench.gone == ["Stream faces under account 1 not found"]


async def test_a_target_of_an_earlier_definition_holds_up_nothing(tmp_path: Path) -> None:
    """Items for a target the processor no longer has become dead letters when it is gone."""
    old = "arn:aws:kinesis:us-east-1:111122223333:stream/old"
    sink = FakeSink(SinkGoneError("Stream old under account 1 not found"))
    async with running(tmp_path, sink, targets={STREAM_ARN}) as bench:
        await append(bench, item("1", target=old), item("2"))
        assert await bench.delivery.drain(10)
    assert (sink.arrived, bench.gone) == (["2"], [])
    assert [letter["key"] for letter in bench.dead_letters()] == ["1"]


async def test_what_waits_behind_a_gone_target_can_go_past_it(tmp_path: Path) -> None:
    """The notice that a session is over leaves although its bucket is gone; pictures stay."""

    class NoBucket(FakeSink):
        async def deliver(self, items: Sequence[OutboxItem]) -> None:
            if items[0].kind == "s3":
                raise SinkGoneError("Bucket bucket not found")
            await super().deliver(items)

    sink = NoBucket(None, SinkUnavailableError("busy"))
    async with running(tmp_path, sink) as bench:
        await append(
            bench,
            item("before", "sns"),
            item("frame", "s3"),
            item("seen", "sns"),
            item("results", "s3"),
            item("complete", "sns"),
        )
        assert not await bench.delivery.drain(10)
        assert bench.delivery.gone == "Bucket bucket not found"
        await bench.delivery.deliver_past(10)
        assert sink.arrived == ["before", "seen", "complete"]
        assert [found.key for _, found in bench.outbox.peek(9, 9_999)] == ["frame", "results"]
        assert bench.outbox.pending() == 2


async def test_nothing_goes_past_while_no_target_is_gone(tmp_path: Path) -> None:
    """A sink that is merely away keeps the order."""
    sink = FakeSink(*[SinkUnavailableError("away")] * 1000)
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"), item("2", "sns"))
        await eventually(lambda: bench.delivery.trouble is not None)
        await bench.delivery.deliver_past(10)
        assert bench.outbox.pending() == 2


async def test_going_past_has_a_deadline(tmp_path: Path) -> None:
    """A second sink that is away does not hold up the end of a session."""

    class Sinks(FakeSink):
        async def deliver(self, items: Sequence[OutboxItem]) -> None:
            if items[0].kind == "s3":
                raise SinkGoneError("gone")
            raise SinkUnavailableError("away")

    async with running(tmp_path, Sinks()) as bench:
        await append(bench, item("frame", "s3"), item("complete", "sns"))
        assert not await bench.delivery.drain(10)
        await bench.delivery.deliver_past(0.05)
        assert bench.outbox.pending() == 2


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


async def test_notifications_leave_in_small_calls(tmp_path: Path) -> None:
    """A kill repeats ten at most, and a slow receiver does not make the others old."""
    sink = FakeSink()
    async with running(tmp_path, sink) as bench:
        await append(bench, *(item(str(number), "sns") for number in range(25)))
        assert await bench.delivery.drain(10)
    assert [len(call) for call in sink.calls] == [10, 10, 5]


async def test_a_sink_is_left_alone_as_long_as_it_asks(tmp_path: Path) -> None:
    """Retry-After goes before the back-off."""
    sink = FakeSink(SinkUnavailableError("busy", retry_after_seconds=0.3))
    started = asyncio.get_running_loop().time()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"))
        assert await bench.delivery.drain(10)
    assert asyncio.get_running_loop().time() - started >= 0.3


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


async def test_a_taken_outbox_ends_delivery(tmp_path: Path) -> None:
    """A worker that lost its session stops with the error that says so."""
    sink = FakeSink()
    sink.blocked.clear()
    bench = Bench(tmp_path, sink)
    await append(bench, item("1"))
    task = asyncio.create_task(bench.delivery.run())
    new_owner = await asyncio.to_thread(
        lambda: Outbox(tmp_path / "outbox/door.sqlite", max_bytes=1_000)
    )
    sink.blocked.set()
    with pytest.raises(OutboxTakenError):
        await task
    assert new_owner.pending() == 1
    new_owner.close()
    bench.outbox.close()
    bench.executor.shutdown()


async def test_a_fault_of_ours_is_not_hidden(tmp_path: Path) -> None:
    """What is no answer of a sink reaches the session's wall."""
    bench = Bench(tmp_path, FakeSink(ZeroDivisionError("ours")))
    await append(bench, item("1"))
    with pytest.raises(ZeroDivisionError):
        await bench.delivery.run()
    bench.outbox.close()
    bench.executor.shutdown()


FAULTS = st.one_of(
    st.none(),
    st.builds(lambda n: ("unavailable", n), st.sets(st.integers(0, 5))),
    st.builds(lambda n: ("rejected", n), st.sets(st.integers(0, 5), min_size=1, max_size=2)),
)


class FaultySink(FakeSink):
    """Fails as the faults say, and is honest about what has arrived."""

    def __init__(self, faults: Iterator[Any]) -> None:
        super().__init__()
        self._faults = faults
        self.refused: list[str] = []

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """Follow the next fault."""
        fault = next(self._faults, None)
        names = [found.key for found in items]
        if fault is None:
            self.arrived += names
            return
        kind, positions = fault
        positions = positions & set(range(len(names)))
        if kind == "rejected" and not positions:
            self.arrived += names
            return
        if kind == "unavailable":
            self.arrived += [names[position] for position in sorted(positions)]
            raise SinkUnavailableError("away", settled=positions)
        self.refused += [names[position] for position in sorted(positions)]
        raise SinkRejectedError(dict.fromkeys(positions, "no"))


@settings(max_examples=30, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(TARGETS)), min_size=1, max_size=12),
    faults=st.lists(FAULTS, max_size=8),
)
def test_every_item_arrives_once_or_is_buried_once(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[Kind], faults: list[Any]
) -> None:
    """Whatever an honest sink answers: nothing is lost, nothing doubled."""
    names = [str(number) for number in range(len(kinds))]

    async def deliver() -> FaultySink:
        sink = FaultySink(iter(faults))
        async with running(tmp_path_factory.mktemp("delivery"), sink) as bench:
            await append(bench, *(item(n, k) for n, k in zip(names, kinds, strict=True)))
            assert await bench.delivery.drain(10)
        return sink

    sink = asyncio.run(deliver())
    assert sorted(sink.arrived + sink.refused, key=int) == names


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


async def test_a_kafka_outage_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Brokers vanish under load and come back: every record is there, once, in order."""
    with mock_cluster() as cluster:
        cluster.create_topic("faces", partitions=1)
        sink = KafkaSink(
            KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, delivery_timeout_seconds=0.5)
        )

        class Sinks:
            def sink_for(self, kind: Kind) -> Sink:
                assert kind == "kinesis"
                return sink

        async with running(tmp_path, Sinks()) as bench:
            await append(bench, *(item(str(number)) for number in range(100)))
            assert await bench.delivery.drain(10)
            cluster.set_down()
            await append(bench, *(item(str(number)) for number in range(100, 200)))
            await eventually(lambda: bench.delivery.trouble is not None)
            cluster.set_up()
            assert await bench.delivery.drain(30)
        await sink.aclose()
        messages = await asyncio.to_thread(read_topic, cluster, "faces", 200)
    assert [int(message.value() or b"") for message in messages] == list(range(200))
