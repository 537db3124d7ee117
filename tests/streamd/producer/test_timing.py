"""Exact times, and times made up for packets that have none."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamd.producer.timing import DisplayOrder, nanoseconds
from tests.support.video_files import write_video

FPS = 10.0
STEP_NS = 100_000_000


@pytest.mark.parametrize(
    ("ticks", "base", "expected"),
    [
        (90_000, Fraction(1, 90_000), 1_000_000_000),
        (1, Fraction(1001, 30_000), 33_366_666),
        (-1, Fraction(1, 1000), -1_000_000),
        (10**15, Fraction(1, 1000), 10**21),
    ],
    ids=["90 kHz", "NTSC", "negative", "huge"],
)
def test_ticks_become_whole_nanoseconds(ticks: int, base: Fraction, expected: int) -> None:
    """In integers: no time is rounded through a float."""
    assert nanoseconds(ticks, base) == expected


def packets(path: Path) -> Iterator[tuple[av.VideoStream, bytes, bool]]:
    """The packets of a raw file, which have no times."""
    with av.open(str(path), "r", format="h264") as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size:
                yield stream, bytes(packet), packet.is_keyframe


@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_are_shown_one_step_apart(tmp_path: Path, b_frames: int) -> None:
    """With B-frames the order is learned by decoding; without, coding order is it."""
    clip = write_video(tmp_path / "clip.264", count=24, gop=12, b_frames=b_frames)
    order: DisplayOrder | None = None
    frames = []
    for stream, data, is_keyframe in packets(clip):
        order = order or DisplayOrder(stream, FPS)
        frames += list(order.push(data, is_keyframe=is_keyframe))
    assert order is not None
    frames += list(order.flush())
    shown = [frame.pts_ns for frame in frames]
    assert sorted(shown) == [index * STEP_NS for index in range(24)]
    assert [frame.dts_ns for frame in frames] == [index * STEP_NS for index in range(24)]
    assert (shown != sorted(shown)) == bool(b_frames)


def test_a_broken_packet_keeps_its_place(tmp_path: Path) -> None:
    """The frames around it have their times, and it is not held back for ever."""
    clip = write_video(tmp_path / "clip.264", count=24, gop=12, b_frames=2)
    order: DisplayOrder | None = None
    frames = []
    for index, (stream, data, is_keyframe) in enumerate(packets(clip)):
        order = order or DisplayOrder(stream, FPS)
        given = data[:8] if index == 5 else data
        frames += list(order.push(given, is_keyframe=is_keyframe))
    assert order is not None
    frames += list(order.flush())
    assert len(frames) == 24
    assert [frame.dts_ns for frame in frames] == [index * STEP_NS for index in range(24)]
