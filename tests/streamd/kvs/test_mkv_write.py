"""What the writer writes is read by FFmpeg and by our parser."""

from __future__ import annotations

import io

import av
import pytest

from streamd.kvs import mkv_write
from streamd.kvs.mkv import Block, MkvParser, StreamHeader, Tags, Track
from tests.support.media import encode, moving_shapes, put_media_body


def test_ffmpeg_decodes_it() -> None:
    """FFmpeg finds the track and decodes every picture at its time."""
    video = encode(moving_shapes(20), gop=10)
    with av.open(io.BytesIO(put_media_body(video, start_ms=5000)), "r") as container:
        stream = container.streams.video[0]
        times = [round(frame.time * 1000) for frame in container.decode(stream)]
        assert (stream.codec_context.width, stream.codec_context.height) == (320, 240)
    assert times[:4] == [5000, 5033, 5067, 5100]
    assert len(times) == 20


def test_our_parser_reads_it() -> None:
    """Tracks, tags and blocks come back as they went in."""
    tracks = (
        Track(number=1, kind="video", codec_id="V_X", codec_private=b"p", name="cam", uid=9,
              width_px=1920, height_px=1080, frame_prefix=b"\0"),
        Track(number=2, kind="audio", codec_id="A_X", uid=2, sampling_hz=8000.0, channels=1),
    )  # fmt: skip
    data = (
        mkv_write.stream_header(tracks, timecode_scale_ns=500_000)
        + mkv_write.tags({"NAME": "wärme", "EMPTY": ""})
        + mkv_write.cluster_start(1_700_000_000_000)
        + mkv_write.simple_block(2, 32767, b"", keyframe=True)
    )
    header, tag, _, block = MkvParser().feed(data)
    assert isinstance(header, StreamHeader)
    assert isinstance(tag, Tags)
    assert isinstance(block, Block)
    assert (header.tracks, header.timecode_scale_ns) == (tracks, 500_000)
    assert tag.values == {"NAME": "wärme", "EMPTY": ""}
    assert (block.timecode, block.track_number, block.frames) == (1_700_000_032_767, 2, (b"",))


@pytest.mark.parametrize("timecode", [-32769, 32768])
def test_block_too_far_from_its_cluster(timecode: int) -> None:
    """A block's time must fit 16 bits."""
    with pytest.raises(ValueError, match="-32768 to 32767 ticks"):
        mkv_write.simple_block(1, timecode, b"", keyframe=True)


@pytest.mark.parametrize("timecode", [-1, 1 << 64])
def test_cluster_timecode_range(timecode: int) -> None:
    """A cluster's time is an unsigned 64-bit number."""
    with pytest.raises(ValueError, match="cluster timecode"):
        mkv_write.cluster_start(timecode)
