"""Facts about QualityFilter and MaxFaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processors.picture import ArrayPicture
from processors.results import Pose
from streamd.api.face_quality import sift
from tests.support.rekognition import make_face

PICTURE = ArrayPicture(np.zeros((500, 1000, 3), dtype=np.uint8))
LEVELS = ["NONE", "LOW", "AUTO", "MEDIUM", "HIGH"]


def turned(*, yaw: float = 0.0, pitch: float = 0.0) -> Pose:
    return Pose(yaw=yaw, pitch=pitch, roll=90.0)


@pytest.mark.parametrize("level", LEVELS)
def test_a_good_face_passes_every_level(level: str) -> None:
    """A large, sharp, frontal face is never left out, however it leans."""
    face = make_face(pose=turned())
    assert sift([face], PICTURE, quality_filter=level).kept == [face]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pose": turned(yaw=-88.0)}, "EXTREME_POSE"),
        ({"pose": turned(pitch=88.0)}, "EXTREME_POSE"),
        ({"brightness": 4.0}, "LOW_BRIGHTNESS"),
        ({"sharpness": 0.5}, "LOW_SHARPNESS"),
        ({"confidence": 55.0}, "LOW_CONFIDENCE"),
        ({"size": 0.03}, "SMALL_BOUNDING_BOX"),  # 15 px high
    ],
)
def test_each_reason(changes: dict[str, Any], reason: str) -> None:
    """A face that fails one limit has that reason at every level but NONE."""
    face = make_face(**changes)
    for level in LEVELS[1:]:
        sifted = sift([face], PICTURE, quality_filter=level)
        assert (list(sifted.kept), list(sifted.dropped)) == ([], [(face, [reason])])
    assert sift([face], PICTURE, quality_filter="NONE").kept == [face]


def test_levels_rise() -> None:
    """What a level lets pass, every lower level lets pass too."""
    for sharpness in (0.5, 1.5, 3.0, 10.0, 20.0):
        face = make_face(sharpness=sharpness)
        passes = [bool(sift([face], PICTURE, quality_filter=level).kept) for level in LEVELS]
        assert passes == sorted(passes, reverse=True)


def test_max_faces_keeps_good_faces_before_large_ones() -> None:
    """Over MaxFaces the poorest go first, then the smallest; both lists are largest first."""
    poor = make_face(size=0.4, sharpness=1.0)
    large, middle, small = (make_face(size=size) for size in (0.3, 0.2, 0.1))
    faces = [poor, large, middle, small]
    sifted = sift(faces, PICTURE, quality_filter="NONE", max_faces=2)
    assert sifted.kept == [large, middle]
    assert sifted.dropped == [(poor, ["EXCEEDS_MAX_FACES"]), (small, ["EXCEEDS_MAX_FACES"])]
    sifted = sift(faces, PICTURE, quality_filter="AUTO", max_faces=1)
    assert sifted.kept == [large]
    assert [reasons for _face, reasons in sifted.dropped] == [
        ["LOW_SHARPNESS"],
        ["EXCEEDS_MAX_FACES"],
        ["EXCEEDS_MAX_FACES"],
    ]


def test_a_pack_without_pose_is_judged_by_the_rest() -> None:
    """Where the pose is unknown it is no reason."""
    face = make_face()
    object.__setattr__(face, "pose", None)
    assert sift([face], PICTURE, quality_filter="HIGH").kept == [face]
