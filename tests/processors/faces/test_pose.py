"""Pose from landmarks: a head turned by known angles is read back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.faces.pose import HEAD, pose_from_landmarks


def _seen(*, yaw: float, pitch: float, roll: float, scale: float = 50.0) -> np.ndarray:
    """Project the average head, turned: first up and down, then sideways, then tilted."""
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    # Axes: x to the picture's right, y down, z towards the camera.
    look_up = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    look_right = np.array(
        [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    )
    lean = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    seen: np.ndarray = (HEAD @ (lean @ look_right @ look_up).T)[:, :2] * scale + 300
    return seen


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(10, 500))
def test_turned_heads(yaw: float, pitch: float, scale: float) -> None:
    """The direction of the nose is found whatever the size of the face."""
    pose = pose_from_landmarks(_seen(yaw=yaw, pitch=pitch, roll=0, scale=scale))
    assert pose is not None
    assert pose.yaw == pytest.approx(yaw, abs=1e-3)
    # A turn to the side leaves the height of the nose as it is.
    assert pose.pitch == pytest.approx(pitch, abs=1e-3)


@given(st.floats(-80, 80))
def test_tilted_heads(roll: float) -> None:
    """Roll is the tilt of the line between the eyes, clockwise."""
    pose = pose_from_landmarks(_seen(yaw=0, pitch=0, roll=roll))
    assert pose is not None
    assert pose.roll == pytest.approx(roll, abs=1e-3)


@pytest.mark.parametrize(
    ("moved", "sign"),
    [
        ((10, 0), ("yaw", 1)),
        ((-10, 0), ("yaw", -1)),
        ((0, -8), ("pitch", 1)),
        ((0, 8), ("pitch", -1)),
    ],
    ids=["right", "left", "up", "down"],
)
def test_signs(moved: tuple[int, int], sign: tuple[str, int]) -> None:
    """A nose that moves right, left, up or down turns the head that way."""
    points = _seen(yaw=0, pitch=0, roll=0)
    points[2] += moved
    pose = pose_from_landmarks(points)
    assert pose is not None
    name, direction = sign
    assert getattr(pose, name) * direction > 5


@pytest.mark.parametrize(
    "points",
    [np.zeros((5, 2)), np.array([[i, 2 * i] for i in range(5)], dtype=float)],
    ids=["one-place", "one-line"],
)
def test_no_pose_where_there_is_no_face(points: np.ndarray) -> None:
    """Points in one place or on one line span no face."""
    assert pose_from_landmarks(points) is None
