"""A short look at a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.producer.errors import SourceError
from streamd.producer.opening import SourceOptions
from streamd.producer.probe import look_at
from tests.support.media import encode, moving_shapes
from tests.support.rtsp_camera import rtsp_camera
from tests.support.video_files import write_video


def test_a_file_is_seen_at_once(tmp_path: Path) -> None:
    """Its headers and its first keyframe are enough."""
    report = look_at(
        str(write_video(tmp_path / "clip.mp4", with_audio=True)), SourceOptions(), seconds=5.0
    )
    assert (report.codec, report.width_px, report.height_px) == ("h264", 160, 120)
    assert (report.frame_rate, report.audio_codec, report.is_live) == (20.0, "aac", False)
    assert report.clock_offset_seconds is None


def test_the_clock_of_a_camera() -> None:
    """A camera two minutes behind is seen to be that."""
    with rtsp_camera(encode(moving_shapes(20), fps=10, gop=10)) as camera:
        camera.clock_ahead_seconds = -120.0
        report = look_at(camera.url, SourceOptions(), seconds=5.0)
    assert report.clock_offset_seconds == pytest.approx(-120, abs=10)


def test_a_camera_that_freezes_while_it_is_looked_at() -> None:
    """It is told as silent, not as seen."""
    with rtsp_camera(encode(moving_shapes(20), fps=10, gop=10), password="hush") as camera:
        camera.stalled.set()
        options = SourceOptions(open_timeout_seconds=1.0, read_timeout_seconds=1.0)
        with pytest.raises(SourceError) as caught:
            look_at(camera.url, options, seconds=5.0)
    assert "hush" not in str(caught.value)
