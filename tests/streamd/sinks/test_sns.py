"""The SNS sink against moto, read through a queue, and against a client that fails."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from streamd.aws import create_client
from streamd.config import SnsSettings
from streamd.records import OutboxItem, notification_item
from streamd.sinks import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.sns import SnsSink
from tests.support.moto import ACCOUNT_ID, REGION, Moto, client_error, moto_server

ARN = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


@pytest.fixture
async def sink(moto: Moto) -> AsyncIterator[SnsSink]:
    settings = SnsSettings(
        endpoint_url=moto.endpoint_url, access_key_id="test", secret_access_key=SecretStr("test")
    )
    sink = SnsSink(partial(create_client, "sns", settings, region=REGION))
    await sink.open()
    yield sink
    await sink.aclose()


def subscribed(moto: Moto, suffix: str = "") -> tuple[str, str]:
    """Make a topic and a queue that gets its messages; return topic ARN and queue URL."""
    name = f"porch-{uuid.uuid4()}{suffix}"
    fifo = {"FifoQueue": "true"} if suffix else {}
    topic = moto.client("sns").create_topic(
        Name=name, Attributes={"FifoTopic": "true"} if suffix else {}
    )["TopicArn"]
    queue = moto.client("sqs").create_queue(QueueName=name, Attributes=fifo)["QueueUrl"]
    moto.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
    )
    return topic, queue


def received(moto: Moto, queue: str) -> list[dict[str, Any]]:
    messages = moto.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in messages.get("Messages", [])]


def notification(number: int, *, topic_arn: str = f"{ARN}porch", size: int = 0) -> OutboxItem:
    return notification_item(
        {"n": number, "pad": "x" * size},
        topic_arn=topic_arn,
        processor_name="door",
        subject="Rekognition Stream Processing Event",
        event_id=f"e-{number}",
    )


async def test_notifications_arrive_with_their_subject(sink: SnsSink, moto: Moto) -> None:
    """A subscriber gets the JSON string as Message, in the usual envelope."""
    topic, queue = subscribed(moto)
    await sink.deliver([notification(1, topic_arn=topic), notification(2, topic_arn=topic)])
    found = [(m["TopicArn"], m["Subject"], m["Message"]) for m in received(moto, queue)]
    assert found == [
        (topic, "Rekognition Stream Processing Event", '{"n":1,"pad":""}'),
        (topic, "Rekognition Stream Processing Event", '{"n":2,"pad":""}'),
    ]


async def test_a_fifo_topic_drops_repeats(sink: SnsSink, moto: Moto) -> None:
    """The event id is the deduplication id."""
    topic, queue = subscribed(moto, ".fifo")
    await sink.deliver([notification(1, topic_arn=topic)])
    await sink.deliver([notification(1, topic_arn=topic)])
    assert len(received(moto, queue)) == 1


@pytest.mark.parametrize("call", ["check", "deliver"])
async def test_a_missing_topic_is_gone(sink: SnsSink, call: str) -> None:
    """It is named in the message."""
    calls = {
        "check": lambda: sink.check(f"{ARN}missing"),
        "deliver": lambda: sink.deliver([notification(1, topic_arn=f"{ARN}missing")]),
    }
    with pytest.raises(SinkGoneError) as caught:
        await calls[call]()
    assert str(caught.value) == f"Topic missing under account {ACCOUNT_ID} not found"


async def test_an_existing_topic_passes_the_check(sink: SnsSink, moto: Moto) -> None:
    """Nothing is raised."""
    topic, _ = subscribed(moto)
    await sink.check(topic)


class Client:
    """Fails from a given message on."""

    def __init__(self, failure: Exception, first: int) -> None:
        self._failure = failure
        self._first = first
        self.published: list[str] = []

    def publish(self, **request: Any) -> None:
        if len(self.published) >= self._first:
            raise self._failure
        self.published.append(request["Message"])

    def get_topic_attributes(self, **_: Any) -> None:
        raise client_error("AuthorizationError", 403)


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (client_error("Throttling", 400), SinkUnavailableError, "Throttling: text"),
        (client_error("InvalidParameter", 400), SinkRejectedError, "InvalidParameter: text"),
        (client_error("AuthorizationError", 403), SinkGoneError, "Access denied to SNS"),
        (client_error("KMSDisabled", 400), SinkGoneError, "Access denied to SNS"),
    ],
    ids=["throttled", "refused", "denied", "key disabled"],
)
async def test_a_failure_keeps_those_before_it_delivered(
    failure: Exception, kind: type[SinkError], message: str
) -> None:
    """Notifications leave one by one, and stop at the first that fails."""
    client = Client(failure, first=2)
    sink = SnsSink(lambda: client)
    await sink.open()
    with pytest.raises(kind, match=message) as caught:
        await sink.deliver([notification(number) for number in range(4)])
    await sink.aclose()
    assert (caught.value.settled, len(client.published)) == (frozenset({0, 1}), 2)


async def test_a_message_too_long_is_refused(sink: SnsSink) -> None:
    """SNS takes 256 KiB."""
    with pytest.raises(SinkRejectedError, match="SNS takes 262144"):
        await sink.deliver([notification(1, size=256 * 1024)])


async def test_a_role_that_may_only_publish_passes_the_check() -> None:
    """The policy AWS documents does not allow to look at topics."""
    sink = SnsSink(lambda: Client(client_error("Throttling", 400), first=0))
    await sink.open()
    await sink.check(f"{ARN}porch")
    await sink.aclose()
