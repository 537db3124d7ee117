"""What people are shown of video streams."""

from __future__ import annotations

import asyncio

from streamd.gateway.view import StreamState
from streamd.ingest.still import still_of
from streamd.resources import VideoStream
from tests.support.gateway import Server, eventually
from tests.support.media import encode, moving_shapes, put_media_body
from tests.support.pictures import size_of
from tests.support.producer import now_ms


def _body() -> bytes:
    video = encode(moving_shapes(10, width_px=320, height_px=240), fps=10, gop=5)
    return put_media_body(video, start_ms=now_ms())


async def _stream(server: Server) -> VideoStream:
    arn = await server.create("door")
    return await asyncio.to_thread(lambda: server.store.video_stream("000000000000", arn=arn))


async def test_a_stream_that_never_had_video_has_none(server: Server) -> None:
    """There is no time of a last fragment, and no clip."""
    stream = await _stream(server)
    assert await server.gateway.view.state(stream) == StreamState(is_here=True)
    assert await server.gateway.view.newest_clip(stream) is None


async def test_the_newest_fragment_can_be_decoded(server: Server) -> None:
    """The clip is a whole body of media; its time is the fragment's."""
    stream = await _stream(server)
    before = now_ms()
    await server.upload(_body())
    clip = await server.gateway.view.newest_clip(stream)
    assert clip is not None
    assert size_of(still_of(clip.body)) == (320, 240)
    assert before - 1000 <= clip.server_ms <= now_ms() + 1000
    state = await server.gateway.view.state(stream)
    assert (state.is_sending, state.newest_ms) == (False, clip.server_ms)


async def test_a_connected_producer_is_seen(server: Server) -> None:
    """While it sends the stream is sending; when it has left it is not."""
    stream = await _stream(server)
    view = server.gateway.view
    async with server.put_media("door") as session:
        await session.send(_body())
        await session.ack("BUFFERING")
        assert (await view.state(stream)).is_sending
        await session.end()

    async def has_left() -> bool:
        return not (await view.state(stream)).is_sending

    await eventually(has_left)
