"""Transcoding for sources whose codec Kinesis Video does not carry."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from streamd.producer.encode import KEYFRAME_SECONDS, EncodedVideo
from streamd.producer.timing import CodedFrame
from tests.support.video_files import write_video


def transcoded(path: Path) -> tuple[EncodedVideo, list[CodedFrame]]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        encoded = EncodedVideo(stream, 10.0)
        frames: list[CodedFrame] = []
        for packet in container.demux(stream):
            if not packet.size:
                continue
            frames += list(encoded.read(packet))
        frames += list(encoded.flush())
    return encoded, frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six seconds of motion JPEG, ten pictures a second."""
    return write_video(tmp_path / "clip.mkv", encoder="mjpeg", count=60, fps=10)


def test_every_picture_is_encoded_in_order(clip: Path) -> None:
    """No B-frames: coding order is display order, a step apart."""
    _, frames = transcoded(clip)
    assert len(frames) == 60
    assert all(frame.pts_ns == frame.dts_ns for frame in frames)
    steps = np.diff([frame.pts_ns for frame in frames])
    assert np.all(np.abs(steps - 100_000_000) <= 1_000_000)


def test_keyframes_come_by_time(clip: Path) -> None:
    """Every two seconds, so that results come soon, whatever the frame rate."""
    _, frames = transcoded(clip)
    keyframes = [frame.pts_ns / 1e9 for frame in frames if frame.is_keyframe]
    assert keyframes == pytest.approx([0.0, KEYFRAME_SECONDS, 2 * KEYFRAME_SECONDS], abs=0.01)


def test_the_track_is_h264_of_the_sources_size(clip: Path) -> None:
    """Frames have length prefixes, as Kinesis Video wants them."""
    encoded, frames = transcoded(clip)
    track = encoded.state.track
    assert track is not None
    assert track.codec_id == "V_MPEG4/ISO/AVC"
    with av.open(clip) as container:
        assert track.width_px == container.streams.video[0].width
    assert int.from_bytes(frames[0].data[:4]) < len(frames[0].data)
