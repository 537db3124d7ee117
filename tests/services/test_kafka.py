"""The Kafka sink against a real broker: logins, TLS, limits, and a broker that comes and goes.

One broker, so no leader ever moves to another: that is tested against the client library's own
cluster in ``tests/streamd/sinks/test_kafka.py``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from streamd.config import KafkaSettings
from streamd.records import OutboxItem
from streamd.sinks import SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.kafka import KafkaSink
from tests.services.fetched import ServiceUnavailableError
from tests.services.kafka import (
    PASSWORD,
    USER,
    KafkaBroker,
    kafka_broker,
)
from tests.support.kafka import read_topic
from tests.support.long_form import long_form

pytestmark = [
    pytest.mark.service,
    # The first run fetches the broker.
    pytest.mark.timeout(400),
]

ACCOUNT = "111122223333"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    try:
        with kafka_broker(tmp_path_factory.mktemp("kafka")) as broker:
            yield broker
    except ServiceUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def topic(broker: KafkaBroker) -> str:
    name = f"faces-{uuid.uuid4()}"
    broker.create_topic(name)
    return name


@asynccontextmanager
async def opened(
    broker: KafkaBroker, protocol: str = "PLAINTEXT", **settings: object
) -> AsyncIterator[KafkaSink]:
    values: dict[str, object] = {
        "bootstrap_servers": broker.address(protocol),
        "security_protocol": protocol,
        "delivery_timeout_seconds": 10,
    }
    if "SASL" in protocol:
        values |= {"sasl_username": USER, "sasl_password": PASSWORD}
    if "SSL" in protocol.split("_"):
        values["ssl_cafile"] = broker.certificate
    sink = KafkaSink(KafkaSettings.model_validate(values | settings))
    await sink.open()
    try:
        yield sink
    finally:
        await sink.aclose()


def record(number: int, topic: str, *, size: int = 0) -> OutboxItem:
    return OutboxItem(
        kind="kinesis",
        target=f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{topic}",
        key="door",
        content_type="application/json",
        body=b"%d" % number + b" " * size,
        attributes={"event_id": f"e-{number}"},
    )


async def numbers(broker: KafkaBroker, topic: str, count: int) -> list[int]:
    """Return what is in a topic, all of it, in its order."""
    messages = await asyncio.to_thread(read_topic, broker, topic, count)
    return [int(message.value() or b"") for message in messages]


async def insist(sink: KafkaSink, items: list[OutboxItem]) -> None:
    """Deliver as the outbox does: again until all is acknowledged."""
    async with asyncio.timeout(200):
        while items:
            try:
                await sink.deliver(items)
            except SinkUnavailableError as error:
                items = [item for i, item in enumerate(items) if i not in error.settled]
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("PLAINTEXT", {}),
        ("PLAINTEXT", {"compression_type": "gzip"}),
        ("SASL_PLAINTEXT", {"sasl_mechanism": "PLAIN"}),
        ("SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-512"}),
        ("SSL", {}),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512"}),
    ],
    ids=["plain text", "gzip", "password", "scram", "tls", "scram over tls"],
)
async def test_records_arrive_whatever_the_listener(
    broker: KafkaBroker, topic: str, protocol: str, settings: dict[str, object]
) -> None:
    """Once each, in order, with their key and their event id."""
    async with opened(broker, protocol, **settings) as sink:
        await sink.check(record(0, topic).target)
        await sink.deliver([record(number, topic) for number in range(500)])
    assert await numbers(broker, topic, 500) == list(range(500))
    message = (await asyncio.to_thread(read_topic, broker, topic, 500))[7]
    assert (message.key(), message.headers()) == (b"door", [("event_id", b"e-7")])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sasl_password": "wrong"}, "Kafka refuses user 'streamd' (PLAIN)"),
        ({"sasl_username": "nobody"}, "Kafka refuses user 'nobody' (PLAIN)"),
        (
            {"sasl_password": "wrong", "sasl_mechanism": "SCRAM-SHA-512"},
            "Kafka refuses user 'streamd' (SCRAM-SHA-512)",
        ),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "Kafka refuses user 'streamd' (SCRAM-SHA-256)"),
    ],
    ids=["password", "user", "scram", "mechanism"],
)
async def test_a_refused_login_is_no_outage(
    broker: KafkaBroker, topic: str, settings: dict[str, object], message: str
) -> None:
    """The session ends FAILED and says whose login it is, at its start or at a delivery."""
    async with opened(broker, "SASL_PLAINTEXT", **settings) as sink:
        with pytest.raises(SinkGoneError) as caught:
            await sink.check(record(0, topic).target)
        assert str(caught.value) == f"Access denied to Kinesis Data: {message}"
        with pytest.raises(SinkGoneError):
            await sink.deliver([record(0, topic)])


async def test_a_stranger_s_certificate_is_not_accepted(broker: KafkaBroker, topic: str) -> None:
    """The message says why, as a certificate can be mended while records wait."""
    async with opened(broker, "SSL", ssl_cafile=None) as sink:
        with pytest.raises(SinkUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            await sink.deliver([record(0, topic)])


async def test_a_missing_topic_is_gone(broker: KafkaBroker) -> None:
    """This broker makes none by itself."""
    async with opened(broker) as sink:
        with pytest.raises(SinkGoneError, match=f"^Stream none under account {ACCOUNT} not found$"):
            await sink.check(record(0, "none").target)


async def test_a_forbidden_topic_is_gone(broker: KafkaBroker) -> None:
    """A rule of the broker denies it to the user of the settings."""
    broker.create_topic("forbidden", denied=True)
    async with opened(broker, "SASL_PLAINTEXT") as sink:
        with pytest.raises(SinkGoneError, match=r"^Access denied to Kinesis Data$"):
            await sink.deliver([record(0, "forbidden")])


async def test_a_record_too_large_for_its_topic_is_refused(broker: KafkaBroker) -> None:
    """Its neighbours arrive, in order, and so does what comes after."""
    topic = f"small-{uuid.uuid4()}"
    broker.create_topic(topic, max_message_bytes=2_000)
    items = [record(1, topic), record(2, topic, size=5_000), record(3, topic)]
    async with opened(broker) as sink:
        with pytest.raises(SinkRejectedError) as caught:
            await sink.deliver(items)
        assert set(caught.value.rejected) == {1}
        await insist(
            sink, [item for i, item in enumerate(items) if i not in {1, *caught.value.settled}]
        )
        await sink.deliver([record(4, topic)])
    assert await numbers(broker, topic, 3) == [1, 3, 4]


async def test_a_topic_that_is_deleted_under_way_is_gone(broker: KafkaBroker, topic: str) -> None:
    """The library would wait for it for ever."""
    async with opened(broker, delivery_timeout_seconds=1.5) as sink:
        await sink.deliver([record(1, topic)])
        await asyncio.to_thread(broker.delete_topic, topic)
        with pytest.raises(SinkGoneError, match="not found"):
            await insist(sink, [record(2, topic)])


@pytest.mark.parametrize(
    ("way", "seconds"),
    [
        ("kill", 0),
        ("freeze", 4),
        pytest.param("stop", 0, marks=long_form),
        pytest.param("stop", 90, marks=long_form),
        pytest.param("freeze", 90, marks=long_form),
    ],
)
async def test_a_broker_that_comes_back_has_every_record_once(
    broker: KafkaBroker, topic: str, way: str, seconds: float
) -> None:
    """Restarted, crashed, hung or away under load: nothing lost or repeated, in order."""
    under_way = asyncio.Event()

    async def load(sink: KafkaSink) -> None:
        for start in range(0, 2_000, 50):
            await insist(sink, [record(number, topic) for number in range(start, start + 50)])
            if start == 500:
                under_way.set()

    # Shorter than the outage, so that the sink is reported as away and asked again meanwhile.
    async with opened(broker, delivery_timeout_seconds=1) as sink:
        loading = asyncio.create_task(load(sink))
        await under_way.wait()
        await asyncio.to_thread(getattr(broker, way))
        # How long it is away is what this is about.
        await asyncio.sleep(seconds)
        await asyncio.to_thread(broker.thaw if way == "freeze" else broker.start)
        await loading
    assert await numbers(broker, topic, 2_000) == list(range(2_000))
