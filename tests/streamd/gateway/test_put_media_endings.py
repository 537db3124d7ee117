"""PutMedia: how an upload ends, and that nothing whole is lost by it."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from streamd.kvs import mkv_write
from tests.support.gateway import Server, eventually, serving
from tests.support.media import START_MS
from tests.support.put_media import HEADER, cluster, kinds


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
