"""Packets that go on as they are, with times that rise."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import pytest

from streamd.producer.passed import PassedAudio, PassedVideo
from streamd.producer.timing import CodedFrame
from tests.support.video_files import write_video


def passed(
    path: Path, fps: float = 10.0, *, form: str | None = None
) -> tuple[PassedVideo, list[CodedFrame]]:
    with av.open(path, format=form) as container:
        stream = container.streams.video[0]
        video = PassedVideo(stream, fps)
        frames: list[CodedFrame] = []
        for packet in container.demux(stream):
            if packet.size:
                frames += list(video.read(packet))
        frames += list(video.flush())
    return video, frames


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_frames_keep_their_times(tmp_path: Path, suffix: str) -> None:
    """A step apart, decoding times rising, whatever the file has of them."""
    _, frames = passed(write_video(tmp_path / f"clip{suffix}", count=20, fps=10))
    assert len(frames) == 20
    times = sorted(frame.pts_ns for frame in frames)
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert steps == pytest.approx([100_000_000] * 19, abs=1_000_000)
    dts = [frame.dts_ns for frame in frames]
    assert dts == sorted(dts)
    assert frames[0].is_keyframe


def test_start_codes_become_lengths(tmp_path: Path) -> None:
    """A transport stream has them; its track is known after the first packet."""
    video, frames = passed(write_video(tmp_path / "clip.ts", count=10, fps=10))
    assert video.state.track is not None
    assert video.state.track.width_px > 0
    assert int.from_bytes(frames[0].data[:4]) < len(frames[0].data)


def test_packets_without_times_get_some(tmp_path: Path) -> None:
    """A raw file's frames follow each other at the rate that is given."""
    _, frames = passed(write_video(tmp_path / "clip.264", count=10, fps=10), form="h264")
    assert [frame.pts_ns for frame in frames] == [index * 100_000_000 for index in range(10)]


def test_sound_passes_without_adts_headers(tmp_path: Path) -> None:
    """Its track says rate and channels; a silent frame of the same kind can be made."""
    path = write_video(tmp_path / "clip.ts", count=20, fps=10, with_audio=True)
    with av.open(path) as container:
        stream = container.streams.audio[0]
        sound = PassedAudio(stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        frames = [sound.frame(packet) for packet in packets]
        assert bytes(packets[0])[:1] == b"\xff", "the file has ADTS headers"
        assert sound.track.sampling_hz == stream.codec_context.sample_rate
        silence = sound.silence()
    assert sound.track.codec_private
    assert all(frame is not None and frame.data[:2] != b"\xff\xf1" for frame in frames)
    assert silence
