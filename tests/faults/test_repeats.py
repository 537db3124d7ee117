"""Which faults repeat a result, how many, and how a consumer tells: counted, fault by fault.

A result is repeated where its sink has it and the outbox does not know: the process is killed
between the two, or the acknowledgement is lost on its way. Never more than one call's results,
never changed, and always with the id of the first time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.config import KafkaSettings, WebhookSettings
from streamd.metrics import Metrics
from streamd.pipeline.delivery import Delivery
from streamd.pipeline.outbox import Outbox
from streamd.records import Kind, OutboxItem, notification_item, object_item, record_item
from streamd.retry import Backoff
from streamd.sinks import Sink
from streamd.sinks.kafka import KafkaSink
from streamd.sinks.kinesis import KinesisSink
from streamd.sinks.local import LocalSink
from streamd.sinks.sns import SnsSink
from streamd.sinks.webhook import WebhookSink
from tests.support.kafka import MockCluster, mock_cluster, read_topic

STREAM_ARN = "arn:aws:kinesis:us-east-1:111122223333:stream/faces"
TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:porch"
RECORDS, CALL_RECORDS = 1_200, 500
NOTIFICATIONS, CALL_NOTIFICATIONS = 25, 10


def record(number: int) -> OutboxItem:
    return record_item(
        {"n": number}, stream_arn=STREAM_ARN, processor_name="door", event_id=f"e-{number}"
    )


def notification(number: int) -> OutboxItem:
    return notification_item(
        {"n": number},
        topic_arn=TOPIC_ARN,
        processor_name="door",
        subject="S",
        event_id=f"e-{number}",
    )


def picture(number: int) -> OutboxItem:
    return object_item(
        b"%d" % number, bucket="results", key=f"{number:04}.jpg", content_type="image/jpeg"
    )


def fill(folder: Path, items: Sequence[OutboxItem]) -> None:
    outbox = Outbox(folder / "door.sqlite", max_bytes=10**9)
    outbox.append(items)
    outbox.close()


async def deliver(folder: Path, sink: Sink, *, die: str = "never", at_call: int = 0) -> None:
    """Deliver what the outbox holds, or be killed at a moment of a call."""
    outbox = Outbox(folder / "door.sqlite", max_bytes=10**9)
    executor = ThreadPoolExecutor(1)
    calls = 0

    class Sinks:
        name = sink.name

        def sink_for(self, kind: Kind) -> Any:
            del kind
            return self

        async def deliver(self, items: Sequence[OutboxItem]) -> None:
            nonlocal calls
            calls += 1
            if die == "before the call" and calls == at_call:
                signal.raise_signal(signal.SIGKILL)
            await sink.deliver(items)
            if die == "before the note" and calls == at_call:
                signal.raise_signal(signal.SIGKILL)

    async def run_blocking(function: Any, *args: Any) -> Any:
        result = await asyncio.get_running_loop().run_in_executor(executor, function, *args)
        if function == outbox.acknowledge and die == "after the note" and calls == at_call:
            signal.raise_signal(signal.SIGKILL)
        return result

    await sink.open()
    delivery = Delivery(
        outbox,
        Sinks(),
        processor_name="door",
        dead_letter_dir=folder / "dead-letter",
        metrics=Metrics(CollectorRegistry()),
        clock=SystemClock(),
        run_blocking=run_blocking,
        backoff=Backoff(base_seconds=0.001, cap_seconds=0.01),
    )
    pump = asyncio.create_task(delivery.run())
    drained = await delivery.drain(60)
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    await sink.aclose()
    outbox.close()
    executor.shutdown()
    assert drained


def killed(folder: Path, servers: str, moment: str) -> None:
    """Deliver in a process of its own that is killed at a moment of its second call."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_repeats", str(folder), servers, moment],
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL


def sink_of(folder: Path, servers: str) -> Sink:
    if servers:
        return KafkaSink(KafkaSettings(bootstrap_servers=servers))
    return LocalSink(folder / "outputs", clock=SystemClock())


def assert_repeats(found: Sequence[Any], expected: Sequence[Any], repeated: int) -> None:
    """Nothing is lost, so many came twice, and whoever drops what it has seen has them in order."""
    counts = Counter(found)
    assert set(counts) == set(expected)
    assert sum(count - 1 for count in counts.values()) == repeated
    assert list(dict.fromkeys(found)) == list(expected)


MOMENTS = [("before the call", 0), ("before the note", 1), ("after the note", 0)]


@pytest.mark.parametrize(("moment", "calls"), MOMENTS)
def test_a_kill_repeats_one_call_of_records_at_most(
    tmp_path: Path, moment: str, calls: int
) -> None:
    """Local files: the records of the one call whose note was missing, in a block, unchanged."""
    fill(tmp_path, [record(number) for number in range(RECORDS)])
    killed(tmp_path, "", moment)
    asyncio.run(deliver(tmp_path, sink_of(tmp_path, "")))
    lines = (tmp_path / "outputs/kinesis/faces.jsonl").read_text().splitlines()
    assert_repeats(lines, [f'{{"n":{n}}}' for n in range(RECORDS)], calls * CALL_RECORDS)


@pytest.mark.parametrize(("moment", "calls"), MOMENTS)
def test_a_kill_repeats_ten_notifications_at_most(tmp_path: Path, moment: str, calls: int) -> None:
    """With the MessageId and the Timestamp of the first time: the whole line is the same."""
    fill(tmp_path, [notification(number) for number in range(NOTIFICATIONS)])
    killed(tmp_path, "", moment)
    asyncio.run(deliver(tmp_path, sink_of(tmp_path, "")))
    lines = (tmp_path / "outputs/sns/porch.jsonl").read_text().splitlines()
    assert len(set(lines)) == NOTIFICATIONS
    ids = [json.loads(line)["MessageId"] for line in lines]
    assert_repeats(ids, [f"e-{n}" for n in range(NOTIFICATIONS)], calls * CALL_NOTIFICATIONS)


def test_a_kill_repeats_no_object(tmp_path: Path) -> None:
    """A second upload goes to the same key."""
    fill(tmp_path, [picture(number) for number in range(RECORDS)])
    killed(tmp_path, "", "before the note")
    asyncio.run(deliver(tmp_path, sink_of(tmp_path, "")))
    files = sorted((tmp_path / "outputs/s3/results").iterdir())
    assert [file.read_bytes() for file in files] == [b"%d" % n for n in range(RECORDS)]


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        cluster.create_topic("faces", partitions=1)
        yield cluster


@pytest.mark.parametrize(("moment", "calls"), MOMENTS)
def test_a_kill_repeats_one_call_of_kafka_records_at_most(
    tmp_path: Path, cluster: MockCluster, moment: str, calls: int
) -> None:
    """A new process is a new producer to the broker; the header event_id tells."""
    fill(tmp_path, [record(number) for number in range(RECORDS)])
    killed(tmp_path, cluster.bootstrap_servers, moment)
    asyncio.run(deliver(tmp_path, sink_of(tmp_path, cluster.bootstrap_servers)))
    messages = read_topic(cluster, "faces", RECORDS + calls * CALL_RECORDS)
    ids = [dict(message.headers() or [])["event_id"] for message in messages]
    assert_repeats(ids, [b"e-%d" % n for n in range(RECORDS)], calls * CALL_RECORDS)


class LosesAnswers:
    """AWS, which takes every call; the answer to the second one is lost on its way."""

    def __init__(self) -> None:
        self.calls = 0
        self.taken: list[str] = []

    def put_records(self, **request: Any) -> Any:
        self.taken += [json.loads(found["Data"])["n"] for found in request["Records"]]
        self._answer()
        return {"Records": [{"SequenceNumber": "1"}] * len(request["Records"])}

    def publish(self, **request: Any) -> Any:
        self.taken.append(json.loads(request["Message"])["n"])
        self._answer()

    def _answer(self) -> None:
        self.calls += 1
        if self.calls == 2:
            raise ReadTimeoutError(endpoint_url="http://x")


def test_a_lost_answer_repeats_one_call_to_kinesis(tmp_path: Path) -> None:
    """AWS keeps no id of a record: FragmentNumber and FrameOffsetInSeconds in it tell."""
    aws = LosesAnswers()
    fill(tmp_path, [record(number) for number in range(RECORDS)])
    asyncio.run(deliver(tmp_path, KinesisSink(lambda: aws)))
    assert_repeats(aws.taken, range(RECORDS), CALL_RECORDS)


def test_a_lost_answer_repeats_one_message_of_sns(tmp_path: Path) -> None:
    """The eventId in the message tells; a FIFO topic drops it by itself within five minutes."""
    aws = LosesAnswers()
    fill(tmp_path, [notification(number) for number in range(NOTIFICATIONS)])
    asyncio.run(deliver(tmp_path, SnsSink(lambda: aws)))
    assert_repeats(aws.taken, range(NOTIFICATIONS), 1)


def test_an_outage_repeats_nothing(tmp_path: Path) -> None:
    """A call that never reached its service is sent again, and arrives once."""

    class Away(LosesAnswers):
        def put_records(self, **request: Any) -> Any:
            self.calls += 1
            if self.calls < 5:
                raise EndpointConnectionError(endpoint_url="http://x")
            self.calls = 5
            return super().put_records(**request)

    aws = Away()
    fill(tmp_path, [record(number) for number in range(RECORDS)])
    asyncio.run(deliver(tmp_path, KinesisSink(lambda: aws)))
    assert_repeats(aws.taken, range(RECORDS), 0)


async def test_a_lost_answer_repeats_one_webhook(tmp_path: Path) -> None:
    """With the same webhook-id and the same body."""
    requests: list[tuple[str, bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        requests.append((request.headers["webhook-id"], await request.read()))
        if len(requests) == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fill(tmp_path, [notification(number) for number in range(NOTIFICATIONS)])
    settings = WebhookSettings.model_validate(
        {
            "url": f"http://127.0.0.1:{runner.addresses[0][1]}/",
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        }
    )
    await deliver(tmp_path, WebhookSink(settings, clock=SystemClock()))
    await runner.cleanup()
    assert_repeats([found for found, _ in requests], [f"e-{n}" for n in range(NOTIFICATIONS)], 1)
    assert len(set(requests)) == NOTIFICATIONS


if __name__ == "__main__":
    where, brokers, when = sys.argv[1:]
    asyncio.run(deliver(Path(where), sink_of(Path(where), brokers), die=when, at_call=2))
