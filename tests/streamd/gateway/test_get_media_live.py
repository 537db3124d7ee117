"""GetMedia while media arrives: nothing is missed, and who is slow or gone holds up nobody."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamd.kvs import mkv_write
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentReader,
    Packet,
)
from tests.support.clock import ManualClock
from tests.support.gateway import DEADLINE_SECONDS, Server, eventually, serving
from tests.support.get_media import HEADER, archived, block, cluster, fragments, seconds
from tests.support.media import START_MS


async def test_blocks_arrive_one_by_one(server: Server) -> None:
    """A block reaches the consumer before its fragment is over; NOW begins with that fragment."""
    await server.create()
    async with server.put_media() as producer:
        await producer.send(HEADER + cluster(0) + mkv_write.cluster_start(START_MS + 1000))
        await producer.send(block(0))
        await producer.ack("RECEIVED")
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            server.get_media(StartSelectorType="NOW") as answer,
        ):
            reader = FragmentReader()
            got: list[Any] = []

            async def until(count: int) -> None:
                while sum(isinstance(event, Packet) for event in got) < count:
                    got.extend(reader.feed(await answer.content.readany()))

            await until(1)
            for index in range(1, 5):
                await producer.send(block(100 * index))
                await until(index + 1)
            assert not [event for event in got if isinstance(event, FragmentEnded)]
            await producer.end()
            got.extend(reader.feed(await answer.content.read()))
            reader.close()
    ended = [event for event in got if isinstance(event, FragmentEnded)]
    assert [event.fragment.producer_timestamp_ms for event in ended] == [START_MS + 1000]


async def test_nothing_after_the_headers_is_missed(server: Server) -> None:
    """What arrives once the client has seen headers is delivered, whatever was before."""
    await archived(server, 2)
    async with server.get_media(StartSelectorType="NOW") as answer:
        assert answer.status == 200
        await server.upload(HEADER + cluster(2) + cluster(3))
        assert seconds(await answer.read()) == [2, 3]


async def test_a_number_beyond_the_newest_waits_for_new_media(server: Server) -> None:
    """A number greater than all, of another stream perhaps, begins with what comes next."""
    await archived(server, 1)
    selector = {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "9" * 47}
    async with server.get_media(**selector) as answer:
        await server.upload(HEADER + cluster(1))
        assert seconds(await answer.read()) == [1]


async def test_a_time_to_come_passes_over_what_is_too_early(server: Server) -> None:
    """PRODUCER_TIMESTAMP beyond all media waits; what ends before it is left out."""
    await archived(server, 1)
    selector: dict[str, Any] = {
        "StartSelectorType": "PRODUCER_TIMESTAMP",
        "StartTimestamp": START_MS / 1000 + 60.5,
    }
    async with server.get_media(**selector) as answer:
        await server.upload(HEADER + cluster(5) + cluster(60) + cluster(61))
        assert seconds(await answer.read()) == [60, 61]


async def test_an_answer_waits_while_a_producer_is_connected(server: Server) -> None:
    """A silent producer keeps the answer open; it ends a while after the producer has left."""
    await server.create()
    async with server.put_media() as producer:
        await producer.send(HEADER + cluster(0))
        await producer.ack("BUFFERING")
        async with server.get_media(StartSelectorType="EARLIEST") as answer:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await answer.content.readany()
            reading = asyncio.create_task(answer.read())
            done, _ = await asyncio.wait([reading], timeout=0.6)  # three times idle_seconds
            assert not done
            await producer.end()
            rest = await reading
    assert b"CONTINUATION_TOKEN" in rest


async def test_an_answer_ends_at_a_fragment_when_its_time_is_up(tmp_path: Path) -> None:
    """After the longest connection time the answer ends behind a whole fragment."""
    async with serving(tmp_path, settings={"max_connection_seconds": 0.3}) as server:
        await server.create()
        async with server.put_media() as producer:
            await producer.send(HEADER + cluster(0) + cluster(1))
            await producer.ack("RECEIVED")
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                server.get_media(StartSelectorType="EARLIEST") as answer,
            ):
                await asyncio.sleep(0.31)  # the time that is up
                await producer.send(block(900))
                await producer.end()
                body = await answer.read()
        reader = FragmentReader()
        events = reader.feed(body)
        reader.close()
        assert isinstance(events[-1], FragmentEnded)


async def test_a_slow_consumer_gets_everything_from_the_archive(server: Server) -> None:
    """A consumer that does not read holds up nobody, costs little memory and misses nothing."""
    await server.create()
    big = [
        mkv_write.cluster_start(START_MS + 1000 * n)
        + b"".join(block(40 * k, size=500_000) for k in range(20))
        for n in range(3)
    ]
    async with server.put_media() as producer:
        await producer.send(HEADER)
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            server.get_media(StartSelectorType="NOW") as answer,
        ):
            for data in big:
                await producer.send(data)
            await producer.end()  # 30 MB are through while the consumer has read nothing
            body = await answer.read()
    assert seconds(body) == [0, 1, 2]
    assert all(data in body for data in big)


async def test_a_consumer_that_leaves_is_forgotten(server: Server) -> None:
    """A client that disconnects costs nothing but a log line."""
    await server.create()
    async with server.put_media() as producer:
        await producer.send(HEADER + cluster(0))
        await producer.ack("BUFFERING")
        answer: aiohttp.ClientResponse = await server.get_media(StartSelectorType="NOW")
        await answer.content.readany()
        assert server.value("streamd_get_media_connections") == 1
        answer.close()
        await eventually(lambda: not server.value("streamd_get_media_connections"))
        assert (await producer.end())[-1]["EventType"] == "PERSISTED"


async def test_several_consumers_and_a_restarting_producer(server: Server) -> None:
    """Every consumer gets every fragment of two sessions once and in order."""
    await server.create()
    answers = [await server.get_media(StartSelectorType="NOW") for _ in range(3)]
    await server.upload(HEADER + cluster(0) + cluster(1))
    await server.upload(HEADER + cluster(2) + cluster(3))
    for answer in answers:
        assert seconds(await answer.read()) == [0, 1, 2, 3]
        numbers = [event.fragment.number for event in fragments(await answer.read())]
        assert numbers == sorted(set(numbers))
        answer.release()


async def test_connections_are_limited_where_that_is_set(tmp_path: Path) -> None:
    """The fourth consumer of a stream is refused while three are there."""
    limits = {"max_get_media_connections": 3, "max_calls_per_second": 5}
    async with serving(tmp_path, settings=limits, clock=ManualClock()) as server:
        await server.create()
        await server.create("yard")
        answers = [await server.get_media(StartSelectorType="NOW") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 400]
        assert answers[3].headers["x-amzn-ErrorType"] == "ConnectionLimitExceededException"
        other = await server.get_media("yard", StartSelectorType="NOW")
        assert other.status == 200
        for answer in [*answers, other]:
            await answer.read()
        assert await server.read_media(StartSelectorType="NOW") == b""
        async with server.get_media(StartSelectorType="NOW") as sixth:
            assert sixth.headers["x-amzn-ErrorType"] == "ClientLimitExceededException"


async def test_a_pace_slows_a_consumer_down_and_loses_nothing(tmp_path: Path) -> None:
    """Beyond a second's worth, bytes and fragments wait for their time."""
    limits = {"max_get_media_bytes_per_second": 100_000, "max_fragments_per_second": 100}
    async with serving(tmp_path, settings=limits) as server:
        await archived(server, 3)
        await server.upload(HEADER + cluster(3, size=25_000))
        started = asyncio.get_running_loop().time()
        body = await server.read_media(StartSelectorType="EARLIEST")
        assert asyncio.get_running_loop().time() - started > 0.02
    assert seconds(body) == [0, 1, 2, 3]


# Millions of reads of a byte, which take long on a busy machine; a failure is shown as it was,
# since what depends on timing cannot be made smaller.
@pytest.mark.timeout(300)
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sessions=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    reads=st.lists(st.sampled_from([1, 500, 70_000, 1 << 20]), min_size=1, max_size=5),
)
def test_slow_consumers_of_fast_producers_lose_nothing(
    tmp_path: Path, sessions: list[int], reads: list[int]
) -> None:
    """However sending, reading and reconnecting interleave, every fragment comes once, in order."""
    total = sum(sessions)

    async def produce(server: Server, name: str) -> None:
        sent = 0
        for count in sessions:
            async with server.put_media(name) as producer:
                await producer.send(HEADER)
                for _ in range(count):
                    await producer.send(cluster(sent, size=60_000))
                    sent += 1
                await producer.end()

    async def consume(server: Server, name: str) -> list[int]:
        got: list[int] = []
        selector = {"StartSelectorType": "EARLIEST"}
        sizes = itertools.cycle(reads)
        while len(got) < total:
            reader = FragmentReader()
            async with server.get_media(name, **selector) as answer:
                while chunk := await answer.content.read(next(sizes)):
                    for event in reader.feed(chunk):
                        if isinstance(event, FragmentEnded):
                            got.append(event.fragment.producer_timestamp_ms)
                            token = str(event.continuation_token)
                            selector = {
                                "StartSelectorType": "CONTINUATION_TOKEN",
                                "ContinuationToken": token,
                            }
        return got

    async def story() -> list[int]:
        name = f"door{uuid.uuid4().hex}"
        async with (
            asyncio.timeout(3 * DEADLINE_SECONDS),
            serving(tmp_path, settings={"idle_seconds": 0.02}) as server,
        ):
            await server.create(name)
            got, _ = await asyncio.gather(consume(server, name), produce(server, name))
        return got

    assert asyncio.run(story()) == [START_MS + 1000 * n for n in range(total)]
