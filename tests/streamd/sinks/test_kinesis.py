"""The Kinesis sink against moto and against a client that answers what AWS might."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from pydantic import SecretStr

from streamd.aws import create_client
from streamd.config import KinesisSettings
from streamd.records import OutboxItem
from streamd.sinks import SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.kinesis import KinesisSink
from tests.support.moto import ACCOUNT_ID, REGION, Moto, client_error, moto_server

ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


@pytest.fixture
def stream(moto: Moto) -> str:
    """Name of a new data stream."""
    name = f"faces-{uuid.uuid4()}"
    moto.client("kinesis").create_stream(StreamName=name, ShardCount=1)
    return name


@pytest.fixture
async def sink(moto: Moto) -> AsyncIterator[KinesisSink]:
    settings = KinesisSettings(
        endpoint_url=moto.endpoint_url, access_key_id="test", secret_access_key=SecretStr("test")
    )
    sink = KinesisSink(partial(create_client, "kinesis", settings, region=REGION))
    await sink.open()
    yield sink
    await sink.aclose()


def record(number: int, *, stream: str = "faces", size: int = 0) -> OutboxItem:
    return OutboxItem(
        kind="kinesis",
        target=ARN + stream,
        key="door",
        content_type="application/json",
        body=b'{"n":%d}' % number + b" " * size,
    )


def stored(moto: Moto, stream: str) -> list[tuple[str, bytes]]:
    client = moto.client("kinesis")
    shard = client.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
    iterator = client.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = client.get_records(ShardIterator=iterator, Limit=10_000)["Records"]
    return [(found["PartitionKey"], found["Data"]) for found in records]


async def test_records_arrive_in_order(sink: KinesisSink, moto: Moto, stream: str) -> None:
    """600 records need two calls; the partition key is the processor's name."""
    await sink.deliver([record(number, stream=stream) for number in range(600)])
    assert stored(moto, stream) == [("door", b'{"n":%d}' % number) for number in range(600)]


async def test_an_existing_stream_passes_the_check(sink: KinesisSink, stream: str) -> None:
    """Nothing is raised."""
    await sink.check(ARN + stream)


@pytest.mark.parametrize("call", ["check", "deliver"])
async def test_a_missing_stream_is_gone(sink: KinesisSink, call: str) -> None:
    """The message is AWS's."""
    message = f"Stream missing under account {ACCOUNT_ID} not found"
    calls = {
        "check": lambda: sink.check(ARN + "missing"),
        "deliver": lambda: sink.deliver([record(1, stream="missing")]),
    }
    with pytest.raises(SinkGoneError) as caught:
        await calls[call]()
    assert str(caught.value) == message


async def test_a_server_that_is_down_is_unavailable() -> None:
    """A closed port is an outage."""
    settings = KinesisSettings(
        endpoint_url="http://127.0.0.1:9", access_key_id="test", secret_access_key=SecretStr("t")
    )
    sink = KinesisSink(partial(create_client, "kinesis", settings, region=REGION))
    await sink.open()
    with pytest.raises(SinkUnavailableError, match="Could not connect"):
        await sink.deliver([record(1)])
    with pytest.raises(SinkUnavailableError):
        await sink.check(ARN + "faces")
    await sink.aclose()


class Client:
    """Answers PutRecords with the codes a test gives; keeps what it was asked."""

    def __init__(self, answer: Callable[[list[dict[str, Any]]], list[str | None]]) -> None:
        self._answer = answer
        self.calls: list[list[bytes]] = []

    def put_records(self, **request: Any) -> dict[str, Any]:
        records: list[dict[str, Any]] = request["Records"]
        self.calls.append([found["Data"] for found in records])
        codes = self._answer(records)
        return {
            "Records": [
                {"ErrorCode": code, "ErrorMessage": "text"} if code else {"SequenceNumber": "1"}
                for code in codes
            ]
        }

    def describe_stream_summary(self, **_: Any) -> Any:
        raise client_error("AccessDeniedException", 400)


async def opened(client: Client) -> KinesisSink:
    sink = KinesisSink(lambda: client)
    await sink.open()
    return sink


async def test_records_that_failed_alone_are_named() -> None:
    """A partial failure keeps the others acknowledged and says which are to be sent again."""
    throttled = "ProvisionedThroughputExceededException"
    client = Client(lambda records: [None, throttled, None, "InternalFailure"][: len(records)])
    sink = await opened(client)
    with pytest.raises(SinkUnavailableError, match=f"{throttled}: text") as caught:
        await sink.deliver([record(number) for number in range(4)])
    await sink.aclose()
    assert caught.value.settled == frozenset({0, 2})


async def test_a_call_holds_no_more_than_kinesis_takes() -> None:
    """At most 500 records and 5 MiB, keys included."""
    client = Client(lambda records: [None] * len(records))
    sink = await opened(client)
    await sink.deliver([record(n, size=1024 * 1024 - 100) for n in range(6)])
    await sink.deliver([record(n) for n in range(501)])
    await sink.aclose()
    assert [len(call) for call in client.calls] == [5, 1, 500, 1]


async def test_a_record_too_large_is_refused_and_the_rest_sent() -> None:
    """1 MiB with its key is the limit; such a record never reaches the wire."""
    client = Client(lambda records: [None] * len(records))
    sink = await opened(client)
    with pytest.raises(SinkRejectedError) as caught:
        await sink.deliver([record(1), record(2, size=1024 * 1024), record(3)])
    await sink.aclose()
    assert (caught.value.settled, set(caught.value.rejected)) == (frozenset({0, 2}), {1})
    assert client.calls == [[b'{"n":1}', b'{"n":3}']]


async def test_the_one_wrong_record_of_a_call_is_found() -> None:
    """Where the service refuses the call as a whole, the others go through one by one."""

    def refuse_2(records: list[dict[str, Any]]) -> list[str | None]:
        if any(found["Data"] == b'{"n":2}' for found in records):
            raise client_error("ValidationException", 400)
        return [None] * len(records)

    sink = await opened(Client(refuse_2))
    with pytest.raises(SinkRejectedError, match="ValidationException") as caught:
        await sink.deliver([record(1), record(2), record(3)])
    await sink.aclose()
    assert (caught.value.settled, set(caught.value.rejected)) == (frozenset({0, 2}), {1})


@pytest.mark.parametrize(
    ("status", "kind"),
    [("CREATING", SinkUnavailableError), ("DELETING", SinkGoneError)],
)
async def test_a_stream_that_is_being_made_is_waited_for(
    status: str, kind: type[Exception]
) -> None:
    """PutRecords does not find it yet, as it does not find one that is gone."""

    class Young(Client):
        def describe_stream_summary(self, **_: Any) -> Any:
            return {"StreamDescriptionSummary": {"StreamStatus": status}}

    def not_found(_: list[dict[str, Any]]) -> list[str | None]:
        raise client_error("ResourceNotFoundException", 400)

    sink = await opened(Young(not_found))
    with pytest.raises(kind):
        await sink.deliver([record(1)])
    await sink.aclose()


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (
            client_error("AccessDeniedException", 400),
            SinkGoneError,
            "Access denied to Kinesis Data",
        ),
        (
            client_error("ThrottlingException", 400),
            SinkUnavailableError,
            "ThrottlingException: text",
        ),
        (client_error("InternalFailure", 500), SinkUnavailableError, "InternalFailure: text"),
        (EndpointConnectionError(endpoint_url="http://x"), SinkUnavailableError, "http://x"),
    ],
    ids=["denied", "throttled", "fault", "network"],
)
async def test_a_failed_call_is_told(
    failure: Exception, kind: type[Exception], message: str
) -> None:
    """What fails as a whole keeps earlier calls acknowledged."""

    def fail(_: list[dict[str, Any]]) -> list[str | None]:
        raise failure

    sink = await opened(Client(fail))
    with pytest.raises(kind, match=message):
        await sink.deliver([record(1)])
    await sink.aclose()


async def test_a_role_that_may_only_put_passes_the_check() -> None:
    """The policy AWS documents does not allow to describe streams."""
    sink = await opened(Client(lambda _: []))
    await sink.check(ARN + "faces")
    await sink.aclose()
