"""The gate's table, on a clip that takes a moment."""

from __future__ import annotations

from pathlib import Path

from tests.bench.gate import measure, table
from tests.bench.gate_clips import Clip, make


def test_still_clip(tmp_path: Path) -> None:
    """Much of it is not decoded; there is no motion to miss."""
    clip = Clip(name="still", what="nothing", scene="empty", seconds=28, size=(160, 90), noise=0.0)
    video = make(clip, tmp_path / "no-footage", tmp_path)
    row = measure(clip, video, lambda _: 0)
    assert row.decoded_percent < 70
    assert (row.moving, row.moving_missed, row.detections_missed) == (0, 0, 0)
    assert len(make(clip, tmp_path / "no-footage", tmp_path).packets) == 28 * 30
    assert table([row]).row_count == 1


def test_detector_that_always_finds(tmp_path: Path) -> None:
    """Then everything is decoded, and nothing is missed."""
    clip = Clip(name="still", what="nothing", scene="empty", seconds=20, size=(160, 90), noise=0.0)
    row = measure(clip, make(clip, tmp_path / "no-footage", tmp_path), lambda _: 1)
    assert (row.detections, row.detections_missed, row.delay_seconds) == (100, 0, 0.0)
