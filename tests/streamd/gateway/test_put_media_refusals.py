"""PutMedia: headers, media and times that break a rule."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streamd.kvs import mkv_write
from streamd.kvs.mkv import Track
from tests.support.clock import ManualClock
from tests.support.gateway import Server, serving
from tests.support.media import START_MS
from tests.support.put_media import HEADER, SOUND, VIDEO, cluster, kinds


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, "InvalidArgumentException", id="no stream"),
        pytest.param(
            {"x-amzn-stream-name": "door", "x-amzn-stream-arn": "arn:x"},
            "InvalidArgumentException",
            id="name and arn",
        ),
        pytest.param({"x-amzn-stream-name": "nobody"}, "ResourceNotFoundException", id="unknown"),
        pytest.param(
            {"x-amzn-stream-name": "door", "x-amzn-fragment-timecode-type": "NEITHER"},
            "InvalidArgumentException",
            id="timecode type",
        ),
        pytest.param(
            {"x-amzn-stream-name": "door", "x-amzn-producer-start-timestamp": "yesterday"},
            "InvalidArgumentException",
            id="start",
        ),
        pytest.param(
            {"x-amzn-stream-name": "door", "x-amzn-producer-start-timestamp": "NaN"},
            "InvalidArgumentException",
            id="start is NaN",
        ),
    ],
)
async def test_headers_are_checked(server: Server, headers: dict[str, str], code: str) -> None:
    """A request that cannot be served is answered with AWS's error before any media."""
    await server.create()
    sent = {"x-amzn-fragment-timecode-type": "RELATIVE", **headers}
    async with server.http.post(f"{server.url}/putMedia", headers=sent, data=b"") as answer:
        assert answer.headers["x-amzn-ErrorType"] == code
        assert answer.status == (404 if code == "ResourceNotFoundException" else 400)
        assert len(answer.headers["x-amzn-RequestId"]) == 36


async def test_a_stream_has_one_producer(server: Server) -> None:
    """A second connection is refused until the first has ended."""
    await server.create()
    async with server.put_media() as first:
        async with server.put_media() as second:
            assert second.response.status == 400
            error = second.response.headers["x-amzn-ErrorType"]
            assert error == "ConnectionLimitExceededException"
        await first.send(HEADER + cluster(START_MS))
        await first.end()
    assert kinds(await server.upload(HEADER + cluster(START_MS)))[-1] == "PERSISTED"


def _many_tags(count: int) -> bytes:
    return mkv_write.tags({f"name-{index}": "x" for index in range(count)})


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        pytest.param(b"", 4006, False, id="zero length"),
        pytest.param(b"<html>no</html>" * 100, 4006, False, id="html"),
        pytest.param(HEADER, 4006, False, id="no fragment"),
        pytest.param(HEADER[:40], 4006, False, id="header cut off"),
        pytest.param(
            HEADER + cluster(START_MS) + b"\0" * 64, 4006, True, id="garbage after blocks"
        ),
        pytest.param(HEADER + cluster(START_MS, track=7), 4010, True, id="unknown track"),
        pytest.param(
            mkv_write.stream_header([VIDEO, SOUND]) + cluster(START_MS) + cluster(START_MS + 1),
            4011,
            True,
            id="no sound",
        ),
        pytest.param(
            HEADER + cluster(START_MS) + cluster(START_MS - 1), 4004, False, id="back in time"
        ),
        pytest.param(HEADER + cluster(1 << 60), 4007, False, id="year 36 million"),
        pytest.param(HEADER + cluster(START_MS) + _many_tags(11), 4009, True, id="eleven tags"),
        pytest.param(
            HEADER + cluster(START_MS) + mkv_write.tags({"a": "b" * 257}), 4009, True, id="long tag"
        ),
        pytest.param(
            mkv_write.stream_header(
                [Track(number=n, kind="video", codec_id="V_VP8") for n in range(1, 5)]
            ),
            4012,
            False,
            id="four tracks",
        ),
        pytest.param(
            HEADER + cluster(START_MS, frames=502), 4002, True, id="longer than twenty seconds"
        ),
    ],
)
async def test_media_that_breaks_a_rule(
    server: Server, body: bytes, code: int, named: bool
) -> None:
    """An ERROR names the rule and, where one is open, the fragment; it is counted."""
    await server.create()
    acks = await server.upload(body)
    error = next(ack for ack in acks if ack["EventType"] == "ERROR")
    assert error["ErrorId"] == code
    assert (error["FragmentTimecode"], len(error["FragmentNumber"])) == (
        (START_MS, 47) if named else (-1, 0)
    )
    counted = server.value("streamd_fragments_rejected_total", error_code=error["ErrorCode"])
    assert counted == 1
    # The daemon lives, and the stream is free again.
    assert kinds(await server.upload(HEADER + cluster(START_MS)))[-1] == "PERSISTED"


async def test_a_fragment_has_at_most_50_mb(server: Server) -> None:
    """An endless cluster ends with 4001; little of it was ever in memory."""
    await server.create()
    block = mkv_write.simple_block(1, 0, bytes(1024 * 1024), keyframe=True)
    async with server.put_media() as session:
        await session.send(HEADER + mkv_write.cluster_start(START_MS))
        for _ in range(51):
            await session.send(block)
        error = await session.ack("ERROR")
    assert error["ErrorCode"] == "MAX_FRAGMENT_SIZE_REACHED"


@pytest.mark.parametrize(
    ("at_ms", "kind", "start", "stamp"),
    [
        pytest.param(0, "ABSOLUTE", None, "0.000", id="1970"),
        pytest.param(START_MS, "ABSOLUTE", "5", "1700000000.000", id="absolute, start given"),
        pytest.param(253_402_300_799_000, "ABSOLUTE", None, "253402300799.000", id="year 9999"),
        pytest.param(0, "RELATIVE", "0", "0.000", id="relative to 1970"),
        pytest.param(1500, "RELATIVE", "1700000000.5", "1700000002.000", id="relative"),
        pytest.param(1500, "RELATIVE", None, "1700000009.500", id="relative to the arrival"),
    ],
)
async def test_producer_times(
    tmp_path: Path, at_ms: int, kind: str, start: str | None, stamp: str
) -> None:
    """What a consumer reads as the producer's time, at the ends of what can be said."""
    async with serving(tmp_path, clock=ManualClock(1_700_000_008)) as server:
        await server.create()
        headers = {"x-amzn-producer-start-timestamp": start} if start else {}
        acks = await server.upload(HEADER + cluster(at_ms), kind=kind, headers=headers)
        assert kinds(acks)[-1] == "PERSISTED"
        assert acks[0]["FragmentTimecode"] == at_ms
        body = await server.read_media(StartSelectorType="EARLIEST")
        listed = await server.call(
            "kinesis-video-archived-media",
            "list_fragments",
            StreamName="door",
            FragmentSelector={
                "FragmentSelectorType": "PRODUCER_TIMESTAMP",
                "TimestampRange": {"StartTimestamp": float(stamp), "EndTimestamp": float(stamp)},
            },
        )
    assert mkv_write.tags({"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP": stamp})[17:] in body
    assert len(listed["Fragments"]) == 1


@pytest.mark.parametrize(
    ("at_ms", "kind"),
    [(253_402_300_800_000, "ABSOLUTE"), (253_402_300_799_000, "RELATIVE")],
)
async def test_producer_times_after_the_end_of_time(server: Server, at_ms: int, kind: str) -> None:
    """A time beyond the year 9999, by itself or with its start, is 4007."""
    await server.create()
    headers = {"x-amzn-producer-start-timestamp": "1700000000"}
    acks = await server.upload(HEADER + cluster(at_ms), kind=kind, headers=headers)
    assert [ack["ErrorCode"] for ack in acks] == ["INVALID_PRODUCER_TIMESTAMP"]


async def test_aws_quotas_where_they_are_set(tmp_path: Path) -> None:
    """Fragments shorter or longer than set are refused; calls beyond the limit, too."""
    limits = {
        "min_fragment_seconds": 1.0,
        "max_fragment_seconds": 10.0,
        "max_calls_per_second": 5,
    }
    async with serving(tmp_path, clock=ManualClock(), settings=limits) as server:
        await server.create()
        errors = []
        for frames, second in ((3, 1), (252, 1), (25, 0)):
            body = HEADER + cluster(START_MS, frames=frames) + cluster(START_MS + 11_000) * second
            acks = await server.upload(body)
            errors.append([ack["ErrorCode"] for ack in acks if ack["EventType"] == "ERROR"])
        assert errors == [
            ["MIN_FRAGMENT_DURATION_REACHED"],
            ["MAX_FRAGMENT_DURATION_REACHED"],
            [],
        ]
        for _ in range(2):
            await server.upload(HEADER + cluster(START_MS))
        async with server.put_media() as session:
            assert session.response.status == 400
            error = session.response.headers["x-amzn-ErrorType"]
            assert error == "ClientLimitExceededException"


async def test_a_pace_slows_a_producer_down_and_loses_nothing(tmp_path: Path) -> None:
    """Bytes and fragments beyond the pace wait for their time; all of them arrive."""
    limits = {"max_fragments_per_second": 10, "max_put_media_bytes_per_second": 100_000}
    async with serving(tmp_path, settings=limits) as server:
        await server.create()
        sent = [cluster(START_MS + 1000 * n, size=2000) for n in range(12)]
        started = asyncio.get_running_loop().time()
        async with server.put_media() as session:
            await session.send(HEADER)
            for data in sent:
                await session.send(data)
                await session.ack("BUFFERING")
            acks = await session.end()
        assert asyncio.get_running_loop().time() - started >= 0.1
        assert kinds(acks).count("PERSISTED") == 12
