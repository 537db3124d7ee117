"""Stills: made in another process, few at once, kept for seconds."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import pytest

from streamd.console.stills import KEEP_SECONDS, STILL, Stills
from streamd.gateway.view import Clip
from streamd.resources import VideoStream
from tests.support.clock import ManualClock
from tests.support.media import encode, get_media_body, moving_shapes
from tests.support.pictures import size_of

CLOCK = ManualClock()
STREAM = VideoStream(
    account_id="000000000000", name="door", arn="arn", version="v", created_at=CLOCK.now()
)
ECHO = (sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())")


class _Video:
    def __init__(self, *clips: bytes | None) -> None:
        self.clips = list(clips)
        self.asked = 0

    async def newest(self, stream: VideoStream) -> Clip | None:
        assert stream is STREAM
        body = self.clips[min(self.asked, len(self.clips) - 1)]
        self.asked += 1
        return None if body is None else Clip(server_ms=self.asked, body=body)


def _stills(video: _Video, clock: ManualClock, command: Sequence[str] = ECHO) -> Stills:
    return Stills(video.newest, monotonic=clock.monotonic, command=command)


async def test_a_still_is_the_newest_picture() -> None:
    """The real command decodes a clip's first picture."""
    body = get_media_body(encode(moving_shapes(5, width_px=320, height_px=240), fps=10, gop=5))
    still = await _stills(_Video(body), ManualClock(), STILL).newest(STREAM)
    assert still is not None
    assert (size_of(still.jpeg), still.server_ms) == ((320, 240), 1)


async def test_a_still_is_kept_for_some_seconds() -> None:
    """Many who look at once make it once; later there is a new one."""
    clock, video = ManualClock(), _Video(b"one", b"two")
    stills = _stills(video, clock)
    first = [await stills.newest(STREAM) for _ in range(3)]
    assert {still.jpeg for still in first if still} == {b"one"}
    assert video.asked == 1
    clock.advance(KEEP_SECONDS + 1)
    second = await stills.newest(STREAM)
    assert second is not None
    assert second.jpeg == b"two"


async def test_no_video_is_no_still() -> None:
    """Where there is no clip nothing is started."""
    assert await _stills(_Video(None), ManualClock(), ("/does/not/exist",)).newest(STREAM) is None


async def test_video_that_cannot_be_decoded_is_no_still(caplog: pytest.LogCaptureFixture) -> None:
    """The reason is in the log, the daemon goes on."""
    with caplog.at_level(logging.WARNING):
        assert await _stills(_Video(b"no video"), ManualClock(), STILL).newest(STREAM) is None
    assert "no still" in caplog.text


async def test_a_decoder_that_dies_costs_the_picture_alone() -> None:
    """A process that is killed is as one that found no picture."""
    die = (sys.executable, "-c", "import os; os.abort()")
    assert await _stills(_Video(b"x"), ManualClock(), die).newest(STREAM) is None
