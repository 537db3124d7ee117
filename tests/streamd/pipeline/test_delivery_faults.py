"""Delivery to sinks that are away, gone, or refuse what they get."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.config import KafkaSettings
from streamd.pipeline import dead_letters as dead_letters_module
from streamd.pipeline.outbox import Outbox, OutboxTakenError
from streamd.records import Kind, OutboxItem
from streamd.sinks import (
    Sink,
    SinkGoneError,
    SinkRejectedError,
    SinkUnavailableError,
    jsonl,
)
from streamd.sinks.kafka import KafkaSink
from tests.support.delivery import (
    STREAM_ARN,
    TARGETS,
    Bench,
    FakeSink,
    append,
    eventually,
    item,
    running,
)
from tests.support.kafka import mock_cluster, read_topic


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


async def test_a_sink_is_left_alone_as_long_as_it_asks(tmp_path: Path) -> None:
    """Retry-After goes before the back-off."""
    sink = FakeSink(SinkUnavailableError("busy", retry_after_seconds=0.3))
    started = asyncio.get_running_loop().time()
    async with running(tmp_path, sink) as bench:
        await append(bench, item("1"))
        assert await bench.delivery.drain(10)
    assert asyncio.get_running_loop().time() - started >= 0.3


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


async def test_what_waits_is_shown_while_the_sink_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox's metrics grow while one call hangs, and are 0 when all has left."""
    monkeypatch.setattr("streamd.pipeline.delivery.REPORT_SECONDS", 0.01)
    sink = FakeSink()
    sink.blocked.clear()
    async with running(tmp_path, sink) as bench:

        def shown() -> tuple[float | None, float | None]:
            names = ("streamd_outbox_items", "streamd_outbox_bytes")
            items, size = (bench.value(name, stream_processor="door") for name in names)
            return items, size

        await append(bench, item("1"))
        await eventually(lambda: shown()[0] == 1)
        await append(bench, item("2"), item("3"))
        await eventually(lambda: shown() == (3, bench.outbox.size_bytes))
        sink.blocked.set()
        await eventually(lambda: shown() == (0, 0))
