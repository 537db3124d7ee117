"""A whole producer against a small Kinesis Video."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from streamd.kvs.acks import ErrorCode
from streamd.producer import (
    EndpointError,
    Event,
    EventKind,
    KinesisVideoControl,
    Producer,
    ProducerOptions,
    ProducerStats,
    PyavSource,
    RefusedError,
)
from tests.support.put_media_sink import PutMediaSink, SunkFragment, serving
from tests.support.video_files import write_video

START_NS = 1_700_000_000_000 * 1_000_000


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds at 20 frames per second, a keyframe every second, B-frames."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_video(path, count=60, fps=20, gop=20, b_frames=2)


async def send(
    url: str,
    source: Path,
    *,
    options: ProducerOptions | None = None,
    retention_hours: int = 24,
    observer: Callable[[Event], None] = lambda _event: None,
) -> ProducerStats:
    control = await asyncio.to_thread(KinesisVideoControl, url)
    info = await asyncio.to_thread(
        control.ensure_stream, "front-door", retention_hours=retention_hours
    )
    producer = Producer(
        control=control,
        stream=info,
        source=PyavSource(str(source)),
        reopen=lambda: PyavSource(str(source)),
        options=options or ProducerOptions(fast=True, start_ns=START_NS),
        observer=observer,
    )
    return await producer.run()


def decoded_frames(fragment: SunkFragment) -> int:
    """Decode a fragment as a consumer does: CodecPrivate and the blocks, nothing else."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = fragment.tracks[0].codec_private
    frames = sum(len(decoder.decode(av.Packet(block.frames[0]))) for block in fragment.blocks)
    return frames + len(decoder.decode(None))


async def test_every_fragment_arrives_and_decodes_alone(clip: Path) -> None:
    """A file of three seconds arrives as three fragments of 20 frames, each decodable alone."""
    sink = PutMediaSink()
    async with serving(sink) as url:
        stats = await send(url, clip)
    assert [f.timecode_ms - 1_700_000_000_000 for f in sink.fragments] == [0, 1000, 2000]
    assert [decoded_frames(f) for f in sink.fragments] == [20, 20, 20]
    assert (stats.frames, stats.fragments, stats.persisted) == (60, 3, 3)
    assert stats.media_seconds == pytest.approx(3.0, abs=0.06)


async def test_blocks_carry_display_times(clip: Path) -> None:
    """B-frames travel in coding order, and their times are those at which they are shown."""
    sink = PutMediaSink()
    async with serving(sink) as url:
        await send(url, clip)
    times = [block.timecode - 1_700_000_000_000 for block in sink.fragments[0].blocks]
    assert times != sorted(times)
    assert sorted(times) == list(range(0, 1000, 50))


async def test_the_stream_is_made_with_its_retention(clip: Path) -> None:
    """A missing stream is created; with retention 0 RECEIVED is the last word."""
    sink = PutMediaSink()
    async with serving(sink) as url:
        stats = await send(url, clip, retention_hours=0)
    assert sink.streams == {"front-door": 0}
    assert (stats.received, stats.persisted) == (3, 0)


async def test_requests_are_absolute_and_unsigned_without_credentials(clip: Path) -> None:
    """Timecodes are ABSOLUTE, and nothing is signed where no credentials are found."""
    sink = PutMediaSink()
    async with serving(sink) as url:
        await send(url, clip)
    headers = sink.headers[0]
    assert headers["x-amzn-stream-name"] == "front-door"
    assert headers["x-amzn-fragment-timecode-type"] == "ABSOLUTE"
    assert headers["Transfer-Encoding"] == "chunked"
    assert "Authorization" not in headers


async def test_requests_are_signed_with_credentials(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With credentials in the environment PutMedia carries SigV4 with an unsigned payload."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    sink = PutMediaSink()
    async with serving(sink) as url:
        await send(url, clip)
    headers = sink.headers[0]
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-east-1/kinesisvideo/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"


async def test_unacknowledged_fragments_are_sent_again(clip: Path) -> None:
    """A connection that breaks before acknowledging costs nothing: all of it goes out again."""
    sink = PutMediaSink(break_after=[2], withhold_acks=True)
    events: list[Event] = []
    async with serving(sink) as url:
        stats = await send(url, clip, observer=events.append)
    second = [f for f in sink.complete_fragments() if f.connection == 1]
    assert [f.timecode_ms - 1_700_000_000_000 for f in second] == [0, 1000, 2000]
    assert [decoded_frames(f) for f in second] == [20, 20, 20]
    assert stats.reconnects == 1
    assert EventKind.DISCONNECTED in {event.kind for event in events}


async def test_acknowledged_fragments_are_not_sent_again(clip: Path) -> None:
    """After a break the producer goes on with the first fragment that is not safe."""
    sink = PutMediaSink(break_after=[1])
    async with serving(sink) as url:
        stats = await send(url, clip)
    second = [f for f in sink.complete_fragments() if f.connection == 1]
    assert [f.timecode_ms - 1_700_000_000_000 for f in second] == [1000, 2000]
    assert stats.persisted == 3


async def test_loops_go_on_in_time(clip: Path) -> None:
    """A second loop begins where the first ended; --seconds ends it."""
    sink = PutMediaSink()
    options = ProducerOptions(fast=True, loop=True, start_ns=START_NS, max_seconds=5.0)
    async with serving(sink) as url:
        await send(url, clip, options=options)
    times = [f.timecode_ms - 1_700_000_000_000 for f in sink.fragments]
    assert times == [0, 1000, 2000, 3000, 4000]
    assert len({f.connection for f in sink.fragments}) == 1


async def test_real_time_is_kept(clip: Path) -> None:
    """Without --fast a second of video takes a second, and blocks go out one by one."""
    sink = PutMediaSink()
    options = ProducerOptions(start_ns=START_NS, max_seconds=0.8)
    began = asyncio.get_running_loop().time()
    async with serving(sink) as url:
        sending = asyncio.create_task(send(url, clip, options=options))
        await sink.arrived.wait()
        first_block = asyncio.get_running_loop().time() - began
        await sending
    assert asyncio.get_running_loop().time() - began >= 0.4
    assert len(sink.fragments[0].blocks) <= 15
    assert first_block < asyncio.get_running_loop().time() - began


async def test_a_refused_fragment_is_an_error_with_advice(clip: Path) -> None:
    """An ERROR acknowledgement that repeating cannot mend ends the producer."""
    sink = PutMediaSink(error=ErrorCode.MAX_FRAGMENT_DURATION_REACHED)
    async with serving(sink) as url:
        with pytest.raises(RefusedError, match="MAX_FRAGMENT_DURATION_REACHED") as caught:
            await send(url, clip)
    assert caught.value.hint == "keyframes are too far apart: add --transcode"


async def test_a_refused_request_is_an_error(clip: Path) -> None:
    """A 404 of PutMedia is not tried again."""
    sink = PutMediaSink(refuse=(404, "ResourceNotFoundException", "The stream is not found."))
    async with serving(sink) as url:
        with pytest.raises(RefusedError, match="The stream is not found") as caught:
            await send(url, clip)
    assert caught.value.code == "ResourceNotFoundException"
    assert len(sink.headers) == 1


async def test_a_busy_stream_is_tried_until_patience_ends(clip: Path) -> None:
    """Another producer on the stream is waited for; without progress the producer gives up."""
    sink = PutMediaSink(refuse=(400, "ConnectionLimitExceededException", "One connection."))
    options = ProducerOptions(fast=True, give_up_seconds=0.01)
    async with serving(sink) as url:
        with pytest.raises(EndpointError, match="another producer is sending into this stream"):
            await send(url, clip, options=options)
    assert len(sink.headers) >= 1


async def test_an_absent_endpoint_says_how_to_start_one(unused_tcp_port: int, clip: Path) -> None:
    """Nothing listening is one error with the command that helps."""
    with pytest.raises(EndpointError, match="nothing answers at") as caught:
        await send(f"http://127.0.0.1:{unused_tcp_port}", clip)
    assert "streamd serve" in (caught.value.hint or "")
