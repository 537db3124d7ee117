from __future__ import annotations

import asyncio
import io
import itertools
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.clock import utc_from_epoch
from streamd.gateway.archive import StoredFragment
from streamd.gateway.errors import ArchiveError
from streamd.kvs import mkv_write
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentReader,
    FragmentStarted,
    Packet,
    StreamError,
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


async def test_milliseconds_of_a_start_are_exact(server: Server) -> None:
    """A start at the very millisecond a fragment begins at is that fragment, at any of them."""
    await server.create()
    times = [START_MS + 1000 * n + 7 * n for n in range(1, 9)]
    body = HEADER + b"".join(mkv_write.cluster_start(at) + block(0) + block(400) for at in times)
    await server.upload(body)
    for n, at in enumerate(times, start=1):
        found = await server.read_media(
            StartSelectorType="PRODUCER_TIMESTAMP", StartTimestamp=at / 1000
        )
        assert fragments(found)[0].fragment.producer_timestamp_ms == at, n


def stream_errors(body: bytes) -> list[tuple[int, str, str | None]]:
    events = FragmentReader().feed(body)
    return [
        (event.error_id, event.error_code, event.fragment_number)
        for event in events
        if isinstance(event, StreamError)
    ]


async def test_an_archive_that_cannot_be_read_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot go on ends with error tags: 5000, and the fragment it was about."""
    numbers = await archived(server, 3)
    door = server.gateway._door
    assert door is not None
    check = door.archive.check

    def broken(fragment: StoredFragment) -> bytes:
        if fragment.number == numbers[2]:
            raise ArchiveError("input/output error")
        return check(fragment)

    monkeypatch.setattr(door.archive, "check", broken)
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert seconds(body) == [0, 1]
    assert stream_errors(body) == [(5000, "INTERNAL_ERROR", numbers[2])]
    # Nothing was sent yet: the error has a document of its own.
    selector = {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": numbers[1]}
    alone = await server.read_media(**selector)
    assert stream_errors(alone) == [(5000, "INTERNAL_ERROR", numbers[2])]


async def test_inside_a_fragment_there_is_no_room_for_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fragment that cannot be read to its end is cut off: a consumer reads it again."""
    await server.create()
    await server.upload(HEADER + cluster(0, size=600_000))
    door = server.gateway._door
    assert door is not None

    def broken(*_: Any) -> bytes:
        raise ArchiveError("input/output error")

    monkeypatch.setattr(door.archive, "read", broken)
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert b"ERROR_ID" not in body
    assert 500_000 < len(body) < 2_400_000


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


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
            asyncio.timeout(DEADLINE_SECONDS),
            serving(tmp_path, settings={"idle_seconds": 0.02}) as server,
        ):
            await server.create(name)
            got, _ = await asyncio.gather(consume(server, name), produce(server, name))
        return got

    assert asyncio.run(story()) == [START_MS + 1000 * n for n in range(total)]
