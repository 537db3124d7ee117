from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from streamd.clock import utc_from_epoch
from streamd.gateway.archive import StoredFragment
from streamd.gateway.errors import ArchiveError
from streamd.kvs import mkv_write
from streamd.kvs.fragments import FragmentEnded, FragmentReader, StreamError
from streamd.kvs.mkv import Track
from tests.support.gateway import Server, serving
from tests.support.media import START_MS

TRACK = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
HEADER = mkv_write.stream_header([TRACK])
START = utc_from_epoch(START_MS / 1000)
SECOND = timedelta(seconds=1)
SERVICE = "kinesis-video-archived-media"


def cluster(second: int) -> bytes:
    blocks = (
        mkv_write.simple_block(1, 250 * index, b"v" * 100, keyframe=not index) for index in range(4)
    )
    return mkv_write.cluster_start(START_MS + second * 1000) + b"".join(blocks)


async def archived(server: Server, count: int = 5) -> list[str]:
    await server.create()
    acks = await server.upload(HEADER + b"".join(cluster(n) for n in range(count)))
    return [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]


def selected(first: float, last: float, kind: str = "PRODUCER_TIMESTAMP") -> dict[str, Any]:
    span = {"StartTimestamp": START + first * SECOND, "EndTimestamp": START + last * SECOND}
    return {"FragmentSelectorType": kind, "TimestampRange": span}


async def test_list_fragments_by_producer_time(server: Server) -> None:
    """Fragments that begin within the range, both ends included, with all their facts."""
    numbers = await archived(server)
    answer = await server.call(
        SERVICE, "list_fragments", StreamName="door", FragmentSelector=selected(0.5, 2)
    )
    assert [item["FragmentNumber"] for item in answer["Fragments"]] == numbers[1:3]
    first = answer["Fragments"][0]
    assert first["ProducerTimestamp"] == START + SECOND
    assert first["FragmentSizeInBytes"] == len(cluster(1))
    assert first["FragmentLengthInMilliseconds"] == 1000
    assert "NextToken" not in answer


async def test_list_fragments_in_pages(server: Server) -> None:
    """boto3's paginator gets every fragment once, by server time as well."""
    numbers = await archived(server)

    def pages() -> list[list[str]]:
        paginator = server.boto(SERVICE).get_paginator("list_fragments")
        selector = selected(-(10**8), 10**9, "SERVER_TIMESTAMP")
        return [
            [item["FragmentNumber"] for item in page["Fragments"]]
            for page in paginator.paginate(
                StreamName="door", FragmentSelector=selector, PaginationConfig={"PageSize": 2}
            )
        ]

    assert await asyncio.to_thread(pages) == [numbers[:2], numbers[2:4], numbers[4:]]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="no selector"),
        pytest.param({"FragmentSelector": selected(3, 2)}, id="backwards"),
        pytest.param({"NextToken": "AAAA"}, id="token of nobody"),
        pytest.param(
            {"NextToken": base64.b64encode(json.dumps({"arn": "x"}).encode()).decode()},
            id="token of another",
        ),
        pytest.param({"NextToken": base64.b64encode(b"[" * 3000).decode()[:4096]}, id="deep token"),
    ],
)
async def test_lists_that_cannot_be(server: Server, members: dict[str, Any]) -> None:
    """InvalidArgumentException for ranges and tokens that make no sense."""
    await server.create()
    with pytest.raises(ClientError) as caught:
        await server.call(SERVICE, "list_fragments", StreamName="door", **members)
    assert caught.value.response["Error"]["Code"] == "InvalidArgumentException"


async def test_retention_is_needed(server: Server) -> None:
    """A stream that retains nothing has no archived media."""
    await server.create(hours=0)
    for operation, members in (
        ("list_fragments", {"FragmentSelector": selected(0, 1)}),
        ("get_media_for_fragment_list", {"Fragments": ["1"]}),
    ):
        with pytest.raises(ClientError) as caught:
            await server.call(SERVICE, operation, StreamName="door", **members)
        assert caught.value.response["Error"]["Code"] == "InvalidArgumentException"


async def listed_media(server: Server, numbers: list[str]) -> bytes:
    def read() -> bytes:
        answer = server.boto(SERVICE).get_media_for_fragment_list(
            StreamName="door", Fragments=numbers
        )
        assert answer["ContentType"] == "video/webm"
        return bytes(answer["Payload"].read())

    return await asyncio.to_thread(read)


async def test_media_for_a_list_comes_in_its_order(server: Server) -> None:
    """Fragments as asked for, with both spellings of their timestamps."""
    numbers = await archived(server, 3)
    body = await listed_media(server, [numbers[2], numbers[0], numbers[2]])
    assert body.startswith(HEADER)
    assert body.index(cluster(2)) < body.index(cluster(0)) < body.rindex(cluster(2))
    assert body.count(b"AWS_KINESISVIDEO_SERVER_TIMESTAMP") == 3
    assert body.count(b"AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP") == 3


@pytest.mark.parametrize("known", [0, 2])
async def test_an_unknown_fragment_ends_the_list(server: Server, known: int) -> None:
    """Error tags name the fragment that is not there, and the body ends, readable."""
    numbers = await archived(server, 2)
    body = await listed_media(server, [*numbers[:known], "123", numbers[0]])
    reader = FragmentReader()
    events = reader.feed(body)
    error = events[-1]
    assert isinstance(error, StreamError)
    assert (error.fragment_number, error.error_code) == ("123", "4000")
    assert b"AWS_KINESISVIDEO_EXCEPTION_MESSAGE" in body
    assert len([event for event in events if isinstance(event, FragmentEnded)]) == max(0, known - 1)


async def test_damaged_fragments_are_skipped_logged_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that changed on the disk are never served; the next fragment is."""
    async with serving(tmp_path) as server:
        numbers = await archived(server, 3)
        (segment,) = (tmp_path / "kinesis-video").rglob("*.seg")
        content = bytearray(segment.read_bytes())
        content[content.index(cluster(1)) + 40] ^= 0xFF
        segment.write_bytes(content)
        body = await server.read_media(StartSelectorType="EARLIEST")
        assert cluster(0) in body
        assert cluster(2) in body
        assert numbers[1].encode() not in body
        assert server.value("streamd_archive_fragments_lost_total", reason="checksum") == 1
        assert "damaged fragment skipped" in caplog.text
        answer = await server.call(
            SERVICE, "list_fragments", StreamName="door", FragmentSelector=selected(0, 9)
        )
        assert len(answer["Fragments"]) == 2


async def test_a_list_that_cannot_be_read_on_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the archive ends the list with error tags of its own."""
    numbers = await archived(server, 2)
    door = server.gateway._door
    assert door is not None
    check = door.archive.check

    def broken(fragment: StoredFragment) -> bytes:
        if fragment.number == numbers[1]:
            raise ArchiveError("input/output error")
        return check(fragment)

    monkeypatch.setattr(door.archive, "check", broken)
    events = FragmentReader().feed(await listed_media(server, numbers))
    error = events[-1]
    assert isinstance(error, StreamError)
    assert (error.fragment_number, error.error_code) == (numbers[1], "5000")


async def test_lists_at_once_are_limited_where_that_is_set(tmp_path: Path) -> None:
    """One connection more than allowed is ConnectionLimitExceeded."""
    limits = {"max_fragment_list_connections": 1, "max_get_media_bytes_per_second": 100_000}
    async with serving(tmp_path, settings=limits) as server:
        await server.create()
        big = mkv_write.cluster_start(START_MS) + mkv_write.simple_block(
            1, 0, b"v" * 150_000, keyframe=True
        )
        acks = await server.upload(HEADER + big)
        members = {"StreamName": "door", "Fragments": [acks[0]["FragmentNumber"]]}
        url = f"{server.url}/getMediaForFragmentList"
        async with server.http.post(url, json=members) as first:
            assert first.status == 200
            async with server.http.post(url, json=members) as second:
                assert second.status == 400
                error = second.headers["x-amzn-ErrorType"]
                assert error == "ConnectionLimitExceededException"
            assert big in await first.read()


async def test_ranges_are_exact_to_the_millisecond(server: Server) -> None:
    """Both ends belong to the range, whatever the milliseconds."""
    await server.create()
    times = [START_MS + 1001 * n for n in range(6)]
    block = mkv_write.simple_block(1, 0, b"v", keyframe=True)
    await server.upload(HEADER + b"".join(mkv_write.cluster_start(at) + block for at in times))
    for at in times:
        moment = utc_from_epoch(at / 1000)
        span = {"StartTimestamp": moment, "EndTimestamp": moment}
        answer = await server.call(
            SERVICE,
            "list_fragments",
            StreamName="door",
            FragmentSelector={
                "FragmentSelectorType": "PRODUCER_TIMESTAMP",
                "TimestampRange": span,
            },
        )
        assert [item["ProducerTimestamp"] for item in answer["Fragments"]] == [moment]


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("listFragments", {"MaxResults": 0}),
        ("listFragments", {"MaxResults": 1001}),
        ("listFragments", {"NextToken": "not base64!"}),
        ("getMediaForFragmentList", {"Fragments": []}),
        ("getMediaForFragmentList", {"Fragments": ["x"]}),
        ("getMediaForFragmentList", {"Fragments": ["1"] * 1001}),
    ],
)
async def test_members_out_of_bounds(
    server: Server, operation: str, members: dict[str, Any]
) -> None:
    """What the model does not allow is InvalidArgumentException before any media."""
    await server.create()
    request = {"StreamName": "door", **members}
    async with server.http.post(f"{server.url}/{operation}", json=request) as answer:
        assert answer.status == 400
        assert answer.headers["x-amzn-ErrorType"] == "InvalidArgumentException"
