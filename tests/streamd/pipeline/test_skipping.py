"""What is not decoded is missed by nobody: the frames to analyse are the same, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.config import AnalysisSettings
from streamd.kvs.fragments import FragmentReader
from streamd.pipeline.frames import Arrival, Frame, FrameReader
from streamd.pipeline.sampling import Sampler
from tests.support.media import Video, encode, get_media_body, moving_shapes

SIZE = {"width_px": 160, "height_px": 120}


def _analyzed(video: Video, *, fps: float, skips: bool) -> tuple[list[tuple[int, int]], int]:
    """Return place and sum of pixels of each analysed frame, and how many were decoded."""
    settings = AnalysisSettings(fps=fps, gate="none", skip_disposable=skips)
    reader = FrameReader(settings=settings, on_damage=lambda *_: None)
    events = FragmentReader().feed(get_media_body(video))
    seen = [
        (output.position.frame_offset_ns, int(np.sum(output.picture.to_rgb(), dtype=np.int64)))
        for outputs in (reader.read([Arrival(event=e, epoch_ms=0) for e in events]), reader.drain())
        for output in outputs
        if isinstance(output, Frame)
    ]
    return seen, reader.take_counts()["frames"]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("fps", [5.0, 7.5, 12.0], ids=str)
def test_frames_to_analyse_are_the_same(codec: str, fps: float) -> None:
    """B-frames in between are not decoded; what is analysed does not change."""
    video = encode(moving_shapes(120, **SIZE), codec=codec, fps=30, gop=60, b_frames=3)
    full, decoded = _analyzed(video, fps=fps, skips=False)
    lean, decoded_lean = _analyzed(video, fps=fps, skips=True)
    assert lean == full
    assert decoded == 120
    assert decoded_lean < 115


def test_stream_without_b_frames_is_decoded_whole() -> None:
    """Every picture refers to the one before."""
    video = encode(moving_shapes(60, **SIZE), fps=30, gop=30)
    assert _analyzed(video, fps=5, skips=True) == _analyzed(video, fps=5, skips=False)


def test_irregular_stream_is_decoded_whole() -> None:
    """Where frames come at odd times nobody knows which will be wanted."""
    video = encode(moving_shapes(60, **SIZE), fps=30, gop=30, b_frames=3)
    packets = tuple(
        type(p)(pts_ms=p.pts_ms + (p.pts_ms // 33 % 3) * 9, keyframe=p.keyframe, data=p.data)
        for p in video.packets
    )
    odd = Video(track=video.track, packets=packets)
    assert _analyzed(odd, fps=5, skips=True) == _analyzed(odd, fps=5, skips=False)


@given(
    st.integers(1, 60),
    st.integers(10, 60),
    st.lists(st.integers(0, 400), unique=True, min_size=1, max_size=200),
)
@example(7, 10, [215, 216, 217])
def test_no_frame_that_is_taken_was_unwanted_before(
    fps: int, rate: int, indexes: list[int]
) -> None:
    """Whatever the rates: what the sampler takes it had said it may want."""
    sampler, step_ns = Sampler(fps=fps), 1_000_000_000 // rate
    for index in sorted(indexes):
        at = index * step_ns
        may = sampler.may_want(at, within_ns=step_ns // 2 + 1)
        if sampler.wants(at, step_ns=step_ns):
            # Behind a gap the times that passed in it are still due.
            period = range(index - rate // fps - 1, index)
            assert may or any(i >= min(indexes) and i not in indexes for i in period)


@given(st.integers(1, 60), st.integers(10, 60), st.integers(0, 400))
def test_no_frame_of_a_whole_stream_is_unwanted_before(fps: int, rate: int, first: int) -> None:
    """The same where every frame comes, at any of its rates."""
    sampler, step_ns = Sampler(fps=fps), 1_000_000_000 // rate
    for at in range(first * step_ns, (first + 120) * step_ns, step_ns):
        may = sampler.may_want(at, within_ns=step_ns // 2 + 1)
        assert may or not sampler.wants(at, step_ns=step_ns)
