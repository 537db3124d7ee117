from __future__ import annotations

import asyncio
import errno
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.kvs import mkv_write
from streamd.kvs.mkv import Track
from tests.support.clock import ManualClock
from tests.support.gateway import Server, eventually, serving
from tests.support.media import START_MS

VIDEO = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
SOUND = Track(number=2, kind="audio", codec_id="A_AAC")
HEADER = mkv_write.stream_header([VIDEO])


def cluster(at_ms: int, *, frames: int = 3, size: int = 100, track: int = 1) -> bytes:
    blocks = (
        mkv_write.simple_block(track, 40 * index, bytes([index % 256]) * size, keyframe=not index)
        for index in range(frames)
    )
    return mkv_write.cluster_start(at_ms) + b"".join(blocks)


def kinds(acks: list[dict[str, Any]]) -> list[str]:
    return [ack["EventType"] for ack in acks]


async def test_fragments_are_acknowledged_while_the_upload_goes_on(server: Server) -> None:
    """BUFFERING comes with a fragment's first bytes, RECEIVED and PERSISTED at its end."""
    await server.create(hours=1)
    async with server.put_media() as session:
        await session.send(HEADER + cluster(START_MS))
        begun = await session.ack("BUFFERING")
        await session.send(cluster(START_MS + 1000))
        received = await session.ack("RECEIVED")
        persisted = await session.ack("PERSISTED")
        await session.end()
    assert begun["FragmentTimecode"] == received["FragmentTimecode"] == START_MS
    assert len(begun["FragmentNumber"]) == 47
    assert begun["FragmentNumber"] == received["FragmentNumber"] == persisted["FragmentNumber"]
    of_second = [a for a in session.acks if a.get("FragmentTimecode") == START_MS + 1000]
    assert kinds(of_second) == ["BUFFERING", "RECEIVED", "PERSISTED"]
    assert server.value("streamd_fragments_received_total", stream="door") == 2
    assert server.value("streamd_put_media_ended_total", reason="finished") == 1
    assert server.value("streamd_put_media_connections") == 0


async def test_without_retention_nothing_is_persisted(server: Server) -> None:
    """A stream with a retention of 0 sends no PERSISTED and still serves GetMedia."""
    await server.create(hours=0)
    acks = await server.upload(HEADER + cluster(START_MS))
    assert kinds(acks) == ["BUFFERING", "RECEIVED"]
    assert cluster(START_MS) in await server.read_media(StartSelectorType="EARLIEST")


async def test_end_of_fragment_tag_closes_a_fragment(server: Server) -> None:
    """The tag AWS_KINESISVIDEO_END_OF_FRAGMENT brings RECEIVED at once and is not passed on."""
    await server.create()
    end = mkv_write.tags({"AWS_KINESISVIDEO_END_OF_FRAGMENT": ""})
    async with server.put_media() as session:
        await session.send(HEADER + cluster(START_MS) + end)
        await session.ack("RECEIVED")
        await session.end()
    assert b"END_OF_FRAGMENT" not in await server.read_media(StartSelectorType="EARLIEST")


async def test_relative_timecodes_count_from_the_start_timestamp(server: Server) -> None:
    """RELATIVE: the producer's time is the start header plus the cluster's timecode."""
    await server.create()
    start = {"x-amzn-producer-start-timestamp": "1.700000000123E9"}
    acks = await server.upload(HEADER + cluster(2000), kind="RELATIVE", headers=start)
    assert acks[0]["FragmentTimecode"] == 2000
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert b"1700000002.123" in body


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


async def test_whole_blocks_outlive_a_producer_that_dies(server: Server) -> None:
    """A connection that breaks in mid-block leaves a fragment of the blocks before."""
    await server.create()
    whole = cluster(START_MS, frames=2)
    half = mkv_write.simple_block(1, 80, b"x" * 100, keyframe=False)[:50]
    async with server.put_media() as session:
        await session.send(HEADER + whole + half)
        await session.ack("BUFFERING")
        session.response.close()
    await eventually(lambda: server.value("streamd_fragments_cut_short_total"))
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert whole in body
    assert server.value("streamd_put_media_ended_total", reason="disconnected") == 1


async def test_a_cut_cluster_of_known_size_is_made_right(server: Server) -> None:
    """A cluster that said its size and was cut short is archived with an unknown size."""
    await server.create()
    block = mkv_write.simple_block(1, 0, b"x" * 50, keyframe=True)
    timecode = mkv_write.cluster_start(START_MS)[12:]
    sized = b"\x1f\x43\xb6\x75\x42\x00" + timecode + block  # says 512 bytes
    acks = await server.upload(HEADER + sized)
    assert kinds(acks) == ["BUFFERING", "RECEIVED", "ERROR", "PERSISTED"]
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert b"\x1f\x43\xb6\x75\x7f\xff" + timecode + block in body


async def test_idle_producers_are_told_and_closed(tmp_path: Path) -> None:
    """IDLE is sent while nothing arrives; then the request is closed, its fragment kept."""
    async with serving(tmp_path, idle_ack_seconds=0.05, idle_close_seconds=0.3) as server:
        await server.create()
        async with server.put_media() as session:
            await session.send(HEADER + cluster(START_MS))
            assert await session.ack("IDLE") == {"EventType": "IDLE"}
            acks = await session.rest()
        assert kinds(acks)[-2:] == ["RECEIVED", "PERSISTED"]
        assert server.value("streamd_put_media_ended_total", reason="idle") == 1


async def test_a_connection_ends_with_a_fragment_when_its_time_is_up(tmp_path: Path) -> None:
    """After the longest connection time the next fragment is refused with 4003."""
    async with serving(tmp_path, settings={"max_connection_seconds": 0.05}) as server:
        await server.create()
        async with server.put_media() as session:
            await session.send(HEADER + cluster(START_MS))
            await asyncio.sleep(0.06)  # the time that is up
            await session.send(cluster(START_MS + 1000))
            acks = await session.rest()
    assert kinds(acks)[0] == "BUFFERING"
    assert sorted(kinds(acks)[1:]) == ["ERROR", "PERSISTED", "RECEIVED"]
    assert next(a for a in acks if a["EventType"] == "ERROR")["ErrorId"] == 4003


async def test_deleting_the_stream_ends_its_upload(server: Server) -> None:
    """DeleteStream ends the producer's connection with 4507."""
    arn = await server.create()
    async with server.put_media() as session:
        await session.send(HEADER + cluster(START_MS))
        await session.ack("BUFFERING")
        await server.call("kinesisvideo", "delete_stream", StreamARN=arn)
        assert (await session.ack("ERROR"))["ErrorCode"] == "STREAM_DELETED"
        await session.rest()
    # Made again, it is another stream, with nothing in it.
    await server.create()
    assert await server.read_media(StartSelectorType="EARLIEST") == b""


async def test_a_full_disk_is_an_archival_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC costs the fragment, not the daemon: 5001, and all is well once there is room."""
    await server.create()
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) > 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("streamd.gateway.segments.os.write", full)
    acks = await server.upload(HEADER + cluster(START_MS))
    errors = [ack for ack in acks if ack["EventType"] == "ERROR"]
    assert [error["ErrorId"] for error in errors] == [5001]
    assert errors[0]["FragmentNumber"] == acks[0]["FragmentNumber"]
    monkeypatch.undo()
    assert kinds(await server.upload(HEADER + cluster(START_MS)))[-1] == "PERSISTED"


async def test_a_mistake_of_ours_costs_one_upload(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception nobody foresaw is logged and told as 5000; the next upload works."""
    await server.create()

    def broken(_self: Any, _data: bytes) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("streamd.gateway.upload.Fragmenter.feed", broken)
    acks = await server.upload(HEADER)
    assert [ack["ErrorCode"] for ack in acks] == ["INTERNAL_ERROR"]
    assert "a bug" in caplog.text
    monkeypatch.undo()
    assert kinds(await server.upload(HEADER + cluster(START_MS)))[-1] == "PERSISTED"


async def test_expect_100_continue(server: Server) -> None:
    """A producer that waits for leave to send gets it."""
    await server.create()
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /putMedia HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"x-amzn-stream-name: door\r\nx-amzn-fragment-timecode-type: ABSOLUTE\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    body = HEADER + cluster(START_MS)
    writer.write(b"\r\n".join((f"{len(body):x}".encode(), body, b"0", b"", b"")))
    answer = await asyncio.wait_for(reader.readuntil(b"PERSISTED"), 10)
    assert b"200 OK" in answer
    writer.close()
    await writer.wait_closed()


async def test_chunks_that_make_no_sense_lose_nothing_whole(server: Server) -> None:
    """A broken chunked encoding ends the upload; the blocks before it are kept."""
    await server.create()
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = HEADER + cluster(START_MS)
    writer.write(
        b"POST /putMedia HTTP/1.1\r\nHost: x\r\nx-amzn-stream-name: door\r\n"
        b"x-amzn-fragment-timecode-type: ABSOLUTE\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{len(body):x}\r\n".encode() + body + b"\r\n"
    )  # fmt: skip
    await asyncio.wait_for(reader.readuntil(b"BUFFERING"), 10)
    writer.write(b"nonsense\r\n")
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: server.value("streamd_fragments_cut_short_total"))
    assert cluster(START_MS) in await server.read_media(StartSelectorType="EARLIEST")


async def test_a_stop_keeps_what_has_arrived(tmp_path: Path) -> None:
    """When the daemon stops, the open fragment is archived before it is gone."""
    async with serving(tmp_path) as server:
        await server.create()
        async with server.put_media() as session:
            await session.send(HEADER + cluster(START_MS))
            await session.ack("BUFFERING")
            await server.gateway.aclose()
            assert kinds(await session.rest())[-1] == "PERSISTED"
    async with serving(tmp_path) as server:
        assert cluster(START_MS) in await server.read_media(StartSelectorType="EARLIEST")


async def test_acknowledgements_are_lines_of_at_most_1024_bytes(server: Server) -> None:
    """Every line is a JSON object of its own, without a wrapper."""
    await server.create()
    async with server.put_media() as session:
        await session.send(HEADER + cluster(START_MS))
        line = await session.response.content.readline()
        await session.end()
    assert len(line) <= 1024
    assert list(json.loads(line)) == ["EventType", "FragmentTimecode", "FragmentNumber"]


async def raw_upload(
    server: Server, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin an upload on a bare connection, one chunk sent."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /putMedia HTTP/1.1\r\nHost: x\r\nx-amzn-stream-name: door\r\n"
        b"x-amzn-fragment-timecode-type: ABSOLUTE\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{len(body):x}\r\n".encode() + body + b"\r\n"
    )  # fmt: skip
    return reader, writer


async def test_a_producer_that_is_still_there_is_told_of_a_read_error(tmp_path: Path) -> None:
    """Chunks that make no sense are 4000 STREAM_READ_ERROR; what was whole is persisted."""
    async with serving(tmp_path, idle_ack_seconds=0.05) as server:
        await server.create()
        reader, writer = await raw_upload(server, HEADER + cluster(START_MS))
        await asyncio.wait_for(reader.readuntil(b"BUFFERING"), 10)
        writer.write(b"nonsense\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"STREAM_READ_ERROR"), 10)
        assert b'"FragmentTimecode":-1,"FragmentNumber":"","ErrorId":4000' in answer
        writer.close()
        await writer.wait_closed()
        await eventually(
            lambda: server.value("streamd_put_media_ended_total", reason="unreadable") == 1
        )
        assert cluster(START_MS) in await server.read_media(StartSelectorType="EARLIEST")


async def test_a_stream_that_goes_away_is_not_active(server: Server) -> None:
    """A fragment that begins on a stream that is going away is refused with 4008."""
    arn = await server.create()
    async with server.put_media() as session:
        await session.send(HEADER + cluster(START_MS))
        await session.ack("BUFFERING")
        live = server.gateway._live.get(arn)
        assert live is not None
        live.shut()
        await session.send(cluster(START_MS + 1000))
        error = await session.ack("ERROR")
        await session.rest()
    assert (error["ErrorId"], error["ErrorCode"]) == (4008, "STREAM_NOT_ACTIVE")


async def test_a_stream_deleted_while_a_producer_connects(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding a stream and using it, it may be deleted: that is 404, not an upload."""
    arn = await server.create()
    enter = server.gateway._live.enter

    def slow(*args: Any) -> Any:
        server.store.delete_video_stream("000000000000", arn=arn)
        return enter(*args)

    monkeypatch.setattr(server.gateway._live, "enter", slow)
    async with server.put_media() as session:
        assert session.response.status == 404
        error = session.response.headers["x-amzn-ErrorType"]
        assert error == "ResourceNotFoundException"
    assert server.gateway._live.get(arn) is None


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


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, 2000), max_size=12))
def test_any_pieces_give_the_same_fragments(tmp_path: Path, cuts: list[int]) -> None:
    """However TCP cuts an upload, the fragments, their bytes and their acknowledgements are those."""
    body = HEADER + b"".join(
        cluster(START_MS + 1000 * n, frames=4) + mkv_write.tags({"n": str(n)}) for n in range(3)
    )

    async def upload() -> tuple[list[tuple[str, int]], bytes]:
        name = f"door{uuid.uuid4().hex}"
        async with serving(tmp_path) as server:
            await server.create(name)
            async with server.put_media(name) as session:
                at = 0
                for size in [*cuts, len(body)]:
                    await session.send(body[at : at + size])
                    at += size
                acks = await session.end()
            media = await server.read_media(name, StartSelectorType="EARLIEST")
        told = [(ack["EventType"], ack["FragmentTimecode"]) for ack in acks]
        return told, media

    told, media = asyncio.run(upload())
    for n in range(3):
        of_one = [kind for kind, timecode in told if timecode == START_MS + 1000 * n]
        assert of_one == ["BUFFERING", "RECEIVED", "PERSISTED"]
        assert cluster(START_MS + 1000 * n, frames=4) + mkv_write.tags({"n": str(n)}) in media
    assert media.count(HEADER) == 3
