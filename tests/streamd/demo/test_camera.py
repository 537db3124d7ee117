"""The demo's camera: a producer on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from streamd.demo.camera import DemoCamera
from streamd.demo.errors import DemoError
from streamd.producer import SourceError
from tests.support.put_media_sink import PutMediaSink, serving
from tests.support.video_files import write_video


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


def _watch(camera: DemoCamera) -> None:
    """Watch it as the story does, from another thread than the endpoint's."""
    deadline = time.monotonic() + 30
    with camera:
        while not camera.is_over and time.monotonic() < deadline:
            time.sleep(0.01)


async def test_a_source_is_sent_to_its_end(tmp_path: Path) -> None:
    """Into a stream of its own; the time of its end is known then."""
    clip = write_video(tmp_path / "clip.mp4", count=20, fps=20, gop=10)
    sink = PutMediaSink()
    async with serving(sink) as url:
        camera = DemoCamera(str(clip), "door", url, max_seconds=40)
        assert camera.seconds == pytest.approx(1.0, abs=0.1)
        assert camera.end_epoch is None
        await asyncio.to_thread(_watch, camera)
    camera.check()
    assert sink.streams == {"door": 1}
    assert sum(len(fragment.blocks) for fragment in sink.fragments) == 20
    assert camera.stats.first_timecode_ms is not None
    assert camera.end_epoch == pytest.approx(camera.stats.first_timecode_ms / 1000 + 1.0, abs=0.1)


async def test_what_ends_it_early_is_the_demos_error(tmp_path: Path) -> None:
    """With the producer's next step."""
    clip = write_video(tmp_path / "clip.mp4", count=20, fps=20, gop=10)
    refusal = (403, "InvalidSignatureException", "who are you")
    async with serving(PutMediaSink(refuse=refusal)) as url:
        camera = DemoCamera(str(clip), "door", url, max_seconds=40)
        await asyncio.to_thread(_watch, camera)
    with pytest.raises(DemoError, match=r"could not be sent.*who are you") as caught:
        camera.check()
    assert caught.value.hint is not None


def test_a_source_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """Before anything is started."""
    with pytest.raises(SourceError):
        DemoCamera(str(tmp_path / "nothing.mp4"), "door", "http://127.0.0.1:1", max_seconds=1)
