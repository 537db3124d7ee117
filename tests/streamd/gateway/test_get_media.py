from __future__ import annotations

import asyncio
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest

from streamd.clock import utc_from_epoch
from streamd.kvs import mkv_write
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentReader,
    FragmentStarted,
    Packet,
)
from streamd.kvs.mkv import Track
from streamd.kvs.numbers import next_number, previous_number
from tests.support.clock import ManualClock
from tests.support.gateway import DEADLINE_SECONDS, Server, eventually, serving
from tests.support.media import START_MS, encode, moving_shapes, put_media_body

TRACK = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
HEADER = mkv_write.stream_header([TRACK])
START = utc_from_epoch(START_MS / 1000)
SECOND = timedelta(seconds=1)


def block(offset_ms: int, *, size: int = 200) -> bytes:
    return mkv_write.simple_block(1, offset_ms, b"v" * size, keyframe=not offset_ms)


def cluster(second: int, *, size: int = 200) -> bytes:
    """One second of media, second by second."""
    start = mkv_write.cluster_start(START_MS + second * 1000)
    return start + b"".join(block(250 * index, size=size) for index in range(4))


def fragments(body: bytes) -> list[FragmentStarted]:
    reader = FragmentReader()
    return [event for event in reader.feed(body) if isinstance(event, FragmentStarted)]


def seconds(body: bytes) -> list[int]:
    """Which fragments are in a body."""
    return [(event.fragment.producer_timestamp_ms - START_MS) // 1000 for event in fragments(body)]


async def archived(server: Server, count: int = 4, *, hours: int = 24) -> list[str]:
    """Send and archive fragments; returns their numbers."""
    await server.create(hours=hours)
    acks = await server.upload(HEADER + b"".join(cluster(n) for n in range(count)))
    return [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "RECEIVED"]


async def test_chunk_layout(server: Server) -> None:
    """Header, tags, the cluster's bytes, the producer's tags, closing tags: for each fragment."""
    await server.create()
    metadata = mkv_write.tags({"place": "hall"})
    sent = HEADER + cluster(0) + metadata + cluster(1)
    acks = await server.upload(sent)
    numbers = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "RECEIVED"]
    body = await server.read_media(StartSelectorType="EARLIEST")
    server_stamp = fragments(body)[0].fragment.server_timestamp_ms
    first_tags = mkv_write.tags(
        {
            "AWS_KINESISVIDEO_FRAGMENT_NUMBER": numbers[0],
            "AWS_KINESISVIDEO_SERVER_TIMESTAMP": f"{server_stamp // 1000}.{server_stamp % 1000:03d}",
            "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP": "1700000000.000",
        }
    )
    head = HEADER + first_tags + cluster(0) + metadata
    assert body.startswith(head)
    tail = mkv_write.tags(
        {
            "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW": "0",
            "AWS_KINESISVIDEO_CONTINUATION_TOKEN": numbers[1],
        }
    )
    assert body.endswith(cluster(1) + tail)


async def test_a_segment_size_is_not_passed_on(server: Server) -> None:
    """A file's Segment size becomes unknown: every fragment is a document of its own."""
    await server.create()
    at = HEADER.index(b"\x18\x53\x80\x67") + 4
    rest = HEADER[at + 8 :] + cluster(0)
    sized = HEADER[:at] + (0x10000000 | len(rest)).to_bytes(4) + rest
    await server.upload(sized)
    assert (await server.read_media(StartSelectorType="EARLIEST")).startswith(HEADER)


async def test_pyav_opens_the_body(server: Server) -> None:
    """FFmpeg demuxes and decodes all pictures of a GetMedia body."""
    await server.create()
    video = encode(moving_shapes(30), fps=15, gop=10)
    await server.upload(put_media_body(video))
    body = await server.read_media(StartSelectorType="EARLIEST")
    with av.open(io.BytesIO(body), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


async def test_boto3_reads_through_the_data_endpoint(server: Server) -> None:
    """GetDataEndpoint, then GetMedia there, as a boto3 script does it."""
    await archived(server, 2)
    endpoint = await server.call(
        "kinesisvideo", "get_data_endpoint", StreamName="door", APIName="GET_MEDIA"
    )
    assert endpoint["DataEndpoint"] == server.url

    def read() -> tuple[Any, bytes]:
        answer = server.boto("kinesis-video-media").get_media(
            StreamName="door", StartSelector={"StartSelectorType": "EARLIEST"}
        )
        return answer["ContentType"], answer["Payload"].read()

    kind, body = await asyncio.to_thread(read)
    assert kind == "video/webm"
    assert seconds(body) == [0, 1]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({"StartSelectorType": "EARLIEST"}, [0, 1, 2, 3], id="earliest"),
        pytest.param({"StartSelectorType": "NOW"}, [], id="now"),
        pytest.param({"StartSelectorType": "PRODUCER_TIMESTAMP", "at": 1.5}, [1, 2, 3], id="in"),
        pytest.param({"StartSelectorType": "PRODUCER_TIMESTAMP", "at": 2.0}, [2, 3], id="start"),
        pytest.param({"StartSelectorType": "PRODUCER_TIMESTAMP", "at": -9}, [0, 1, 2, 3], id="before"),
        pytest.param({"StartSelectorType": "PRODUCER_TIMESTAMP", "at": 99}, [], id="after all"),
        pytest.param({"StartSelectorType": "SERVER_TIMESTAMP", "at": -9}, [0, 1, 2, 3], id="server"),
        pytest.param(
            {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "0"},
            [0, 1, 2, 3],
            id="after 0",
        ),
        pytest.param(
            {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "9" * 128},
            [],
            id="beyond all",
        ),
    ],
)  # fmt: skip
async def test_start_selectors(
    server: Server, selector: dict[str, Any], expected: list[int]
) -> None:
    """Where an answer begins, by selector, in a stream of four archived seconds."""
    await archived(server)
    if "at" in selector:
        moment = START + selector.pop("at") * SECOND
        selector["StartTimestamp"] = moment.timestamp()
    assert seconds(await server.read_media(**selector)) == expected


async def test_after_a_number_or_token(server: Server) -> None:
    """FRAGMENT_NUMBER and CONTINUATION_TOKEN go on with the next; unknown numbers too."""
    numbers = await archived(server)

    async def after(number: str) -> list[int]:
        selector = {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": number}
        return seconds(await server.read_media(**selector))

    assert await after(numbers[1]) == [2, 3]
    assert await after(previous_number(numbers[1])) == [1, 2, 3]
    assert await after(next_number(numbers[1])) == [2, 3]
    assert await after(numbers[3]) == []
    token = {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": numbers[2]}
    assert seconds(await server.read_media(**token)) == [3]


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        ({"StartSelectorType": "FRAGMENT_NUMBER"}, "InvalidArgumentException"),
        ({"StartSelectorType": "SERVER_TIMESTAMP"}, "InvalidArgumentException"),
        ({"StartSelectorType": "TOMORROW"}, "InvalidArgumentException"),
        (
            {"StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": "a-token"},
            "InvalidArgumentException",
        ),
    ],
)
async def test_selectors_that_make_no_sense(
    server: Server, selector: dict[str, str], code: str
) -> None:
    """A selector without its member, or with another's, is refused before any media."""
    await server.create()
    async with server.get_media(**selector) as answer:
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, code)


async def test_unknown_stream(server: Server) -> None:
    """GetMedia of a stream that does not exist is ResourceNotFoundException, 404."""
    async with server.get_media("nobody", StartSelectorType="NOW") as answer:
        assert answer.status == 404
        assert answer.headers["x-amzn-ErrorType"] == "ResourceNotFoundException"


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


async def test_a_fragment_that_fails_ends_the_answer_between_blocks(server: Server) -> None:
    """Garbage in a fragment: who was reading it gets its whole blocks and then the end."""
    await server.create()
    async with server.put_media() as producer:
        await producer.send(HEADER + cluster(0)[:-10])
        await producer.ack("BUFFERING")
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            server.get_media(StartSelectorType="NOW") as answer,
        ):
            first = await answer.content.readany()
            await producer.send(b"v" * 10 + b"\0" * 100)
            await producer.rest()
            body = first + await answer.read()
    assert body.endswith(cluster(0)[: -len(block(750))])
    assert await server.read_media(StartSelectorType="EARLIEST") == b""


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


async def test_millis_behind_now(tmp_path: Path) -> None:
    """How far a fragment is behind the newest, by their server timestamps; the newest is 0."""
    clock = ManualClock()
    async with serving(tmp_path, clock=clock) as server:
        await server.create()
        async with server.put_media() as producer:
            await producer.send(HEADER + cluster(0))
            await producer.ack("BUFFERING")
            clock.advance(1.25)
            await producer.send(cluster(1))
            await producer.end()
        events = FragmentReader().feed(await server.read_media(StartSelectorType="EARLIEST"))
    behind = [event.millis_behind_now for event in events if isinstance(event, FragmentEnded)]
    assert behind == [1250, 0]


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


@pytest.mark.parametrize(
    ("after_start", "expected"),
    [(0, [0, 1, 2]), (9.9, [0, 1, 2]), (10, [1, 2]), (15, [1, 2]), (20, [1, 2]), (45, [2])],
)
async def test_server_timestamp_contains_or_next(
    tmp_path: Path, after_start: float, expected: list[int]
) -> None:
    """SERVER_TIMESTAMP begins with the fragment that was arriving then, else the next one."""
    clock = ManualClock(START_MS / 1000)
    async with serving(tmp_path, clock=clock) as server:
        await server.create()
        for second in range(3):  # each arrives for 10 s, and 10 s lie between two
            async with server.put_media() as producer:
                await producer.send(HEADER + cluster(second))
                await producer.ack("BUFFERING")
                clock.advance(10)
                await producer.end()
            clock.advance(10)
        selector: dict[str, Any] = {
            "StartSelectorType": "SERVER_TIMESTAMP",
            "StartTimestamp": START_MS / 1000 + after_start,
        }
        assert seconds(await server.read_media(**selector)) == expected
