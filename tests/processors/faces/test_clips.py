"""Faces in the sample clips are those their notes tell of (looked up by eye, `video.json`)."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import pytest

from processors.picture import ArrayPicture
from tests.support.faces import face_analyzer, shared_dir

pytestmark = pytest.mark.shared


def _frames(clip: str, *, every: int, until: int | None = None) -> Iterator[ArrayPicture]:
    with av.open(str(shared_dir() / "media" / "video" / clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if until is not None and number >= until:
                return
            if number % every == 0:
                yield ArrayPicture(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))


@pytest.mark.parametrize("pack", ["builtin", "yunet-retail0095"])
@pytest.mark.parametrize(
    ("clip", "every", "until", "counts"),
    [
        ("head_pose_man.mp4", 30, 300, {1}),
        ("foreman_cif.264", 15, 180, {1}),
        ("empty_room.mp4", 10, None, {0}),
        ("parking_cars.mp4", 60, 300, {0}),
        ("bottles_hand.mp4", 60, 300, {0}),
        ("cockatoo.mp4", 15, 90, {0}),
        ("people_walking.mp4", 30, 91, {1, 2, 3, 4, 5}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faces_in_clips(
    pack: str, clip: str, every: int, until: int | None, counts: set[int]
) -> None:
    """Every sampled frame has as many faces as the notes say, and no pets' or bottles' faces."""
    analyzer = face_analyzer(pack)
    found = {len(analyzer.detect(frame)) for frame in _frames(clip, every=every, until=until)}
    assert found
    assert found <= counts
