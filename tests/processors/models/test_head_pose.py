"""The head pose network's angles have the signs of Pose."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from processors.picture import ArrayPicture
from processors.results import DetectedFace, Pose
from tests.support.faces import astronaut, face_analyzer, portrait, shared_dir

pytestmark = pytest.mark.shared


def _frames(path: Path, numbers: set[int]) -> dict[int, ArrayPicture]:
    with av.open(str(path)) as container:
        return {
            number: ArrayPicture(
                np.asarray(frame.reformat(960, 540, "rgb24").to_ndarray(), dtype=np.uint8)
            )
            for number, frame in enumerate(container.decode(video=0))
            if number in numbers
        }


def _pose(name: str, picture: ArrayPicture) -> Pose:
    faces: list[DetectedFace] = face_analyzer(name).detect(picture)
    assert len(faces) == 1
    assert faces[0].pose is not None
    return faces[0].pose


@pytest.fixture(scope="module")
def frames() -> dict[int, ArrayPicture]:
    """Frames of a man who turns his head; what he does in them was looked up by eye."""
    path = shared_dir() / "media" / "video" / "head_pose_man.mp4"
    return _frames(path, {25, 75, 200, 100, 425, 450})


@pytest.mark.parametrize("name", ["builtin", "yunet-retail0095"])
def test_signs(frames: dict[int, ArrayPicture], name: str) -> None:
    """Network and landmarks agree with the eye on where he looks, in every frame."""
    poses = {number: _pose(name, picture) for number, picture in frames.items()}
    assert poses[25].yaw > 15  # to the picture's right, and up
    assert poses[25].pitch > 10
    assert poses[200].yaw > 15
    assert poses[75].yaw < -15  # to the picture's left
    assert poses[100].yaw < -10  # to the left, and down
    assert poses[100].pitch < 0
    assert poses[425].pitch < -10  # straight down
    assert poses[450].pitch < -10
    assert abs(poses[450].yaw) < 10


@pytest.mark.parametrize("name", ["builtin", "yunet-retail0095"])
@pytest.mark.parametrize("degrees", [-25, 25])
def test_roll_is_clockwise(name: str, degrees: int) -> None:
    """A picture turned clockwise by 25 degrees has about that much more roll."""
    upright = _pose(name, astronaut())
    # Pillow turns counter-clockwise.
    turned = portrait().rotate(-degrees, fillcolor=(90, 90, 90))
    roll = _pose(name, ArrayPicture(np.asarray(turned))).roll
    assert roll - upright.roll == pytest.approx(degrees, abs=10)
