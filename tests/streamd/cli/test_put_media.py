"""put-media against a small Kinesis Video, in the process of the test."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.support.put_media_sink import PutMediaSink, serving
from tests.support.video_files import write_video

ROOT = Path(__file__).parents[3]


async def put_media(url: str, source: Path, *options: str) -> tuple[int, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMD_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamd", "put-media", "--stream", "porch",
        "--source", str(source), "--endpoint", url, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**clean, "PYTHONPATH": str(ROOT), "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_fast_returns_when_everything_is_persisted(tmp_path: Path) -> None:
    """--fast exits 0 after the last PERSISTED, and says so in plain lines."""
    clip = write_video(tmp_path / "clip.mp4", count=60, fps=20)
    sink = PutMediaSink()
    async with serving(sink) as url:
        code, output = await put_media(url, clip, "--fast", "--retention-hours", "7")
    assert code == 0, output
    assert sink.streams == {"porch": 7}
    assert len(sink.complete_fragments()) == 3
    assert "stream   porch (made, retention 7 h)" in output
    assert "source   " in output
    assert "every fragment persisted (3)" in output
    assert "\x1b" not in output


async def test_start_time_and_seconds(tmp_path: Path) -> None:
    """--start-time sets the first producer timestamp, --seconds the length."""
    clip = write_video(tmp_path / "clip.mp4", count=60, fps=20)
    sink = PutMediaSink()
    options = ("--fast", "--start-time", "2024-01-01T00:00:00", "--seconds", "1.5")
    async with serving(sink) as url:
        code, output = await put_media(url, clip, *options)
    assert code == 0, output
    assert [f.timecode_ms for f in sink.fragments] == [1_704_067_200_000, 1_704_067_201_000]


async def test_other_codecs_are_encoded(tmp_path: Path) -> None:
    """MJPEG arrives as H.264, and the user is told."""
    clip = write_video(tmp_path / "clip.avi", count=20, fps=10, encoder="mjpeg")
    sink = PutMediaSink()
    async with serving(sink) as url:
        code, output = await put_media(url, clip, "--fast")
    assert code == 0, output
    assert sink.fragments[0].tracks[0].codec_id == "V_MPEG4/ISO/AVC"
    assert sum(len(f.blocks) for f in sink.fragments) == 20
    assert "mjpeg video is encoded to H.264" in output
