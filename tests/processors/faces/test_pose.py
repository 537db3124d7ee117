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


POINTS = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=5, max_size=5
).map(lambda points: np.array(points, dtype=float))


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-80, 80), POINTS)
def test_mirror(yaw: float, pitch: float, roll: float, noise: np.ndarray) -> None:
    """In the mirror yaw and roll change their sign and pitch stays, however odd the face."""
    points = _seen(yaw=yaw, pitch=pitch, roll=roll) + noise / 200
    pose = pose_from_landmarks(points)
    mirrored = pose_from_landmarks((points * [-1, 1])[[1, 0, 2, 4, 3]])
    assert pose is not None
    assert mirrored is not None
    assert mirrored.yaw == pytest.approx(-pose.yaw, abs=1e-4)
    assert mirrored.roll == pytest.approx(-pose.roll, abs=1e-4)
    assert mirrored.pitch == pytest.approx(pose.pitch, abs=1e-4)


@given(POINTS)
def test_angles_are_degrees(points: np.ndarray) -> None:
    """Whatever the points, each angle is one that the wire can carry."""
    pose = pose_from_landmarks(points)
    for angle in () if pose is None else (pose.yaw, pose.pitch, pose.roll):
        assert -180 <= angle <= 180


AWS_SAMPLES = {
    "RecognizeCelebrities": (
        [(0.0686, 0.3084), (0.1040, 0.3006), (0.0967, 0.3408), (0.0752, 0.3811), (0.1074, 0.3741)],
        {"yaw": 20.3, "roll": -8.8},
    ),
    "IndexFaces": (
        [(0.3684, 0.4173), (0.5961, 0.4282), (0.4782, 0.5350), (0.3526, 0.5722), (0.5936, 0.5792)],
        {"roll": 3.6, "pitch": -10.6},
    ),
    "CompareFaces": (
        [(0.6204, 0.2672), (0.6777, 0.2683), (0.6428, 0.3141), (0.6241, 0.3515), (0.6714, 0.3526)],
        {"yaw": -3.7},
    ),
}
"""Landmarks and clear angles of samples in AWS's documentation; the pictures are not known."""


@pytest.mark.parametrize("name", list(AWS_SAMPLES))
def test_signs_are_those_of_aws(name: str) -> None:
    """From the landmarks of AWS's samples follow angles of the signs AWS gives there."""
    points, told = AWS_SAMPLES[name]
    pose = pose_from_landmarks(np.array(points) * [1500, 1000])
    assert pose is not None
    for angle, degrees in told.items():
        assert getattr(pose, angle) * degrees > 0
        assert getattr(pose, angle) == pytest.approx(degrees, abs=10)
