"""GetMedia: the form of an answer, and where it starts."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import av
import pytest

from streamd.kvs import mkv_write
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentReader,
)
from streamd.kvs.numbers import next_number, previous_number
from tests.support.clock import ManualClock
from tests.support.gateway import Server, serving
from tests.support.get_media import (
    HEADER,
    SECOND,
    START,
    archived,
    block,
    cluster,
    fragments,
    seconds,
)
from tests.support.media import START_MS, encode, moving_shapes, put_media_body


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
