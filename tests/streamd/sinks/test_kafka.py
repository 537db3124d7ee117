"""The Kafka sink against librdkafka's mock cluster, with its faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from streamd.config import KafkaSettings
from streamd.records import OutboxItem, notification_item
from streamd.sinks import SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks import kafka as kafka_module
from streamd.sinks.kafka import KafkaSink
from tests.support import kafka
from tests.support.kafka import PRODUCE, MockCluster, mock_cluster, read_topic

ACCOUNT = "111122223333"


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        cluster.create_topic("faces")
        yield cluster


@asynccontextmanager
async def opened(cluster: MockCluster, **settings: object) -> AsyncIterator[KafkaSink]:
    sink = KafkaSink(
        KafkaSettings.model_validate(
            {
                "bootstrap_servers": cluster.bootstrap_servers,
                "delivery_timeout_seconds": 10,
                **settings,
            }
        )
    )
    await sink.open()
    try:
        yield sink
    finally:
        await sink.aclose()


@pytest.fixture
async def sink(cluster: MockCluster) -> AsyncIterator[KafkaSink]:
    async with opened(cluster) as sink:
        yield sink


def record(number: int, *, key: str = "door", stream: str = "faces", size: int = 0) -> OutboxItem:
    return OutboxItem(
        kind="kinesis",
        target=f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{stream}",
        key=key,
        content_type="application/json",
        body=b'{"n":%d}' % number + b" " * size,
        attributes={"event_id": f"e-{number}"},
    )


def values(cluster: MockCluster, count: int, topic: str = "faces") -> list[bytes]:
    return [(message.value() or b"").rstrip() for message in read_topic(cluster, topic, count)]


async def test_records_arrive_in_order_of_their_key(sink: KafkaSink, cluster: MockCluster) -> None:
    """The key is the processor's name, so its records share a partition and keep their order."""
    await sink.deliver([record(number) for number in range(300)])
    messages = await asyncio.to_thread(read_topic, cluster, "faces", 300)
    assert [message.value() for message in messages] == [b'{"n":%d}' % n for n in range(300)]
    assert {message.key() for message in messages} == {b"door"}
    assert len({message.partition() for message in messages}) == 1


async def test_a_record_carries_its_event_id(sink: KafkaSink, cluster: MockCluster) -> None:
    """A consumer recognises a repeat by the header."""
    await sink.deliver([record(7)])
    (message,) = await asyncio.to_thread(read_topic, cluster, "faces", 1)
    assert message.headers() == [("event_id", b"e-7")]


async def test_templates_name_the_topics(cluster: MockCluster) -> None:
    """A data stream and an SNS topic map to topics of their own; a notification is its JSON."""
    cluster.create_topic("aws.faces.v1")
    cluster.create_topic("sns-porch")
    templates = {"topic_template": "aws.{stream}.v1", "sns_topic_template": "sns-{topic}"}
    notification = notification_item(
        {"a": 1},
        topic_arn=f"arn:aws:sns:us-east-1:{ACCOUNT}:porch",
        processor_name="door",
        subject="S",
        event_id="e",
    )
    async with opened(cluster, **templates) as sink:
        await sink.deliver([record(1), notification])
    (message,) = await asyncio.to_thread(read_topic, cluster, "sns-porch", 1)
    assert (message.value(), message.headers()) == (
        b'{"a":1}',
        [("event_id", b"e"), ("subject", b"S")],
    )
    assert await asyncio.to_thread(values, cluster, 1, "aws.faces.v1") == [b'{"n":1}']


async def test_a_change_of_leader_is_survived(sink: KafkaSink, cluster: MockCluster) -> None:
    """NOT_LEADER and a time-out on the broker's side are retried, without a repeat."""
    cluster.fail(PRODUCE, kafka.NOT_LEADER, kafka.NOT_LEADER, kafka.REQUEST_TIMED_OUT)
    await sink.deliver([record(number) for number in range(3)])
    found = await asyncio.to_thread(values, cluster, 3)
    assert found == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


async def test_an_outage_repeats_nothing(cluster: MockCluster) -> None:
    """Records handed over before the brokers vanish arrive once, however often they are sent."""
    items = [record(number) for number in range(3)]
    async with opened(cluster, delivery_timeout_seconds=0.5) as sink:
        await sink.deliver([record(100)])
        cluster.set_down()
        for _ in range(2):
            with pytest.raises(SinkUnavailableError):
                await sink.deliver(items)
        cluster.set_up()
        async with asyncio.timeout(20):
            while True:
                try:
                    await sink.deliver(items)
                except SinkUnavailableError:
                    continue
                break
    found = await asyncio.to_thread(values, cluster, 4)
    assert found == [b'{"n":100}', b'{"n":0}', b'{"n":1}', b'{"n":2}']


async def test_what_arrives_during_a_back_off_is_not_sent_again(cluster: MockCluster) -> None:
    """Nobody waits for it then; whoever delivers it next, from the outbox anew, hears of it."""
    async with opened(cluster, delivery_timeout_seconds=0.5) as sink:
        await sink.deliver([record(100)])
        cluster.set_down()
        with pytest.raises(SinkUnavailableError):
            await sink.deliver([record(number) for number in range(3)])
        cluster.set_up()
        pending = list(sink._handed_over.values())
        async with asyncio.timeout(20):
            await asyncio.wait(pending)
        await sink.deliver([record(number) for number in range(5)])
        assert sink._handed_over == {}
    found = await asyncio.to_thread(values, cluster, 6)
    assert found == [b'{"n":100}', *(b'{"n":%d}' % number for number in range(5))]


async def test_what_nobody_asks_for_is_forgotten_in_time(
    sink: KafkaSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions that never come back do not fill the memory."""
    monkeypatch.setattr(kafka_module, "_MAX_REMEMBERED", 10)
    for number in range(50):
        delivering = asyncio.create_task(sink.deliver([record(number)]))
        key = (record(number).target, "door", f"e-{number}")
        while key not in sink._handed_over:  # noqa: ASYNC110  # a dict gives no event
            await asyncio.sleep(0)
        future = sink._handed_over[key]
        delivering.cancel()
        await asyncio.wait([delivering])
        await asyncio.wait([future])
    assert 0 < len(sink._handed_over) <= 10


async def test_a_record_too_large_for_the_setting_is_refused(
    sink: KafkaSink, cluster: MockCluster
) -> None:
    """It never reaches the broker; the others do."""
    with pytest.raises(SinkRejectedError, match=r"'kafka\.max_record_bytes' is 1048576") as caught:
        await sink.deliver([record(1), record(2, size=1024 * 1024), record(3)])
    assert (caught.value.settled, set(caught.value.rejected)) == (frozenset({0, 2}), {1})
    assert await asyncio.to_thread(values, cluster, 2) == [b'{"n":1}', b'{"n":3}']


async def test_a_record_too_large_for_the_broker_is_refused(
    sink: KafkaSink, cluster: MockCluster
) -> None:
    """MESSAGE_TOO_LARGE for one record means that record; the producer is usable after it."""
    cluster.fail(PRODUCE, kafka.MESSAGE_TOO_LARGE)
    with pytest.raises(SinkRejectedError, match="MessageSizeTooLargeError"):
        await sink.deliver([record(1)])
    await sink.deliver([record(2)])
    assert await asyncio.to_thread(values, cluster, 1) == [b'{"n":2}']


async def test_a_batch_too_large_for_the_broker_goes_record_by_record(
    sink: KafkaSink, cluster: MockCluster
) -> None:
    """Small records are not refused because they travelled together."""
    cluster.fail(PRODUCE, kafka.MESSAGE_TOO_LARGE)
    await sink.deliver([record(1), record(2), record(3)])
    found = await asyncio.to_thread(values, cluster, 3)
    assert found == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


async def test_a_missing_right_is_gone(sink: KafkaSink, cluster: MockCluster) -> None:
    """TOPIC_AUTHORIZATION_FAILED ends the session with AWS's words."""
    cluster.fail(PRODUCE, kafka.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(SinkGoneError, match=r"^Access denied to Kinesis Data$"):
        await sink.deliver([record(1)])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (kafka.UNKNOWN_TOPIC_OR_PART, f"Stream missing under account {ACCOUNT} not found"),
        (kafka.TOPIC_AUTHORIZATION_FAILED, "Access denied to Kinesis Data"),
    ],
    ids=["missing", "denied"],
)
async def test_a_topic_that_is_not_ours_to_use_is_gone(
    cluster: MockCluster, error: int, message: str
) -> None:
    """The broker has answered, and not with the topic."""
    cluster.create_topic("missing")
    cluster.fail_topic("missing", error)
    async with opened(cluster, delivery_timeout_seconds=2) as sink:
        with pytest.raises(SinkGoneError) as caught:
            await sink.check(record(1, stream="missing").target)
    assert str(caught.value) == message


async def test_a_topic_not_known_yet_is_no_reason_to_fail_when_brokers_are_away(
    cluster: MockCluster,
) -> None:
    """Nobody has said that it does not exist."""
    async with opened(cluster, delivery_timeout_seconds=2) as sink:
        await sink.check(record(1).target)
        cluster.set_down()
        with pytest.raises(SinkUnavailableError):
            await sink.deliver([record(1, stream="other")])


async def test_a_topic_deleted_while_in_use_is_gone(cluster: MockCluster) -> None:
    """The library would wait for it for ever."""
    async with opened(cluster, delivery_timeout_seconds=1) as sink:
        await sink.deliver([record(1)])
        cluster.fail_topic("faces", kafka.UNKNOWN_TOPIC_OR_PART)
        cluster.fail(PRODUCE, *[kafka.UNKNOWN_TOPIC_OR_PART] * 1000)
        with pytest.raises(SinkGoneError, match=f"Stream faces under account {ACCOUNT} not found"):
            await sink.deliver([record(2)])


async def test_an_existing_topic_passes_the_check(sink: KafkaSink) -> None:
    """Nothing is raised."""
    await sink.check(record(1).target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/a/b",
            f"Stream a/b under account {ACCOUNT} not found",
        ),
        (f"arn:aws:sns:us-east-1:{ACCOUNT}:a/b", f"Topic a/b under account {ACCOUNT} not found"),
    ],
)
async def test_a_name_no_topic_can_have_is_gone(sink: KafkaSink, target: str, message: str) -> None:
    """It is refused before a broker is asked."""
    with pytest.raises(SinkGoneError, match=message):
        await sink.check(target)


async def test_sessions_share_a_producer(sink: KafkaSink, cluster: MockCluster) -> None:
    """Ten sessions deliver at once; each key keeps its own order."""
    await asyncio.gather(
        *(
            sink.deliver([record(number, key=f"door-{who}") for number in range(20)])
            for who in range(10)
        )
    )
    messages = await asyncio.to_thread(read_topic, cluster, "faces", 200)
    for who in range(10):
        found = [m.value() for m in messages if m.key() == f"door-{who}".encode()]
        assert found == [b'{"n":%d}' % number for number in range(20)]
