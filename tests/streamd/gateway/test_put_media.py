"""PutMedia: fragments are acknowledged, whatever pieces they come in."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.kvs import mkv_write
from tests.support.gateway import Server, serving
from tests.support.media import START_MS
from tests.support.put_media import HEADER, cluster, kinds


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


async def test_acknowledgements_are_lines_of_at_most_1024_bytes(server: Server) -> None:
    """Every line is a JSON object of its own, without a wrapper."""
    await server.create()
    async with server.put_media() as session:
        await session.send(HEADER + cluster(START_MS))
        line = await session.response.content.readline()
        await session.end()
    assert len(line) <= 1024
    assert list(json.loads(line)) == ["EventType", "FragmentTimecode", "FragmentNumber"]


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


async def test_frames_of_a_live_producer_are_taken_together(tmp_path: Path) -> None:
    """What comes within the time of gathering is one piece for consumers, and nothing is lost."""
    frames = [mkv_write.simple_block(1, 40 * n, bytes([n]) * 100, keyframe=not n) for n in range(9)]
    pieces: list[bytes] = []
    async with serving(tmp_path, settings={"gather_seconds": 1.0}) as server:
        await server.create()
        async with server.put_media() as session:
            await session.send(HEADER + mkv_write.cluster_start(START_MS) + frames[0])
            await session.ack("BUFFERING")
            async with server.get_media(StartSelectorType="EARLIEST") as answer:
                head = await answer.content.readany()
                for frame in frames[1:]:
                    await asyncio.sleep(0.05)  # a camera's frames, one after the other
                    await session.send(frame)
                while len(b"".join(pieces)) < len(b"".join(frames[1:])):
                    pieces.append(await answer.content.readany())
                await session.end()
                rest = await answer.content.read()
    assert frames[0] in head
    assert b"".join(pieces) == b"".join(frames[1:])
    assert len(pieces) < 8
    assert b"AWS_KINESISVIDEO_CONTINUATION_TOKEN" in rest
