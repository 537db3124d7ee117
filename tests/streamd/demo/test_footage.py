"""The sample camera's clip, made of two short scenes."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from streamd.demo import footage
from streamd.demo.errors import DemoError
from streamd.demo.footage import Scene


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("skimage") is None:
        pytest.skip("scikit-image, whose photographs are used, is not installed")
    scenes = (
        Scene(photo="coffee.png", seconds=2, start=(0.5, 0.33, 0.9), end=(0.5, 0.33, 0.6)),
        Scene(photo="astronaut.png", seconds=1, start=(0.5, 0.3, 0.7), end=(0.5, 0.3, 0.7)),
    )
    monkeypatch.setattr(footage, "SCENES", scenes)


@pytest.mark.usefixtures("_short")
def test_the_clip_is_a_camera(tmp_path: Path) -> None:
    """1280x720 H.264 at 25 fps, a keyframe every two seconds, moving all the time."""
    seen: list[tuple[int, int]] = []
    clip = footage.make_footage(
        tmp_path / "clip.mp4", progress=lambda done, total: seen.append((done, total))
    )
    assert (clip.seconds, clip.frames) == (3.0, 75)
    assert seen[-1] == (75, 75)
    with av.open(str(clip.path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1280, 720)
        assert stream.average_rate == 25
        frames = list(container.decode(stream))
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 50]
    lumas = [f.to_ndarray(format="gray")[::8, ::8].astype(int) for f in frames[5:45:10]]
    for before, after in itertools.pairwise(lumas):
        assert np.abs(before - after).mean() > 0.5


@pytest.mark.usefixtures("_short")
def test_the_face_is_the_photograph_of_the_clip() -> None:
    """IndexFaces gets the astronaut's photograph as it is, a PNG below 5 MB."""
    photo = footage.sample_face()
    assert photo.startswith(b"\x89PNG")
    assert len(photo) < 5 * 1024 * 1024


def test_missing_photographs_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-image the demo names the way out."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match="not installed") as caught:
        footage.sample_face()
    assert "--source FILE" in (caught.value.hint or "")
