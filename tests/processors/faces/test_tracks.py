"""Faces followed from frame to frame: embedded when that can tell something new."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from processors.faces.tracks import SURE_SECONDS, FaceTrack, FaceTracks
from processors.geometry import Box, Point
from processors.results import DetectedFace, Landmarks, Pose, Quality

NOWHERE = Point(x=0.5, y=0.5)
LANDMARKS = Landmarks(
    eye_left=NOWHERE, eye_right=NOWHERE, nose=NOWHERE, mouth_left=NOWHERE, mouth_right=NOWHERE
)
STEP = 0.2
ALICE = np.array([1.0, 0.0], dtype=np.float32)
BOB = np.array([0.0, 1.0], dtype=np.float32)


def _face(
    left: float, *, top: float = 0.3, size: float = 0.1, sharpness: float = 50.0, yaw: float = 0.0
) -> DetectedFace:
    return DetectedFace(
        box=Box(left=left, top=top, width=size, height=size),
        confidence_percent=99.0,
        landmarks=LANDMARKS,
        pose=Pose(pitch=0.0, roll=0.0, yaw=yaw),
        quality=Quality(brightness=50.0, sharpness=sharpness),
    )


def _similarity(distance: float) -> float:
    return max(0.0, 100.0 * (1.0 - distance))


def _embed(
    tracks: Sequence[FaceTrack],
    faces: Sequence[DetectedFace],
    seconds: float,
    vectors: Sequence[NDArray[np.float32]],
    *,
    is_matched: bool = True,
) -> list[bool]:
    """Embed the faces that are due; return which were."""
    due = []
    for track, face, vector in zip(tracks, faces, vectors, strict=True):
        due.append(track.wants_embedding(face, seconds))
        if due[-1]:
            track.learn(vector, face, seconds, _similarity)
        track.is_matched = is_matched
    return due


def _watch(seen: Sequence[DetectedFace], *, is_matched: bool = True) -> list[bool]:
    """Follow one face through frames; return in which it was embedded."""
    tracks = FaceTracks()
    return [
        _embed(tracks.follow([face], STEP * at), [face], STEP * at, [ALICE], is_matched=is_matched)[
            0
        ]
        for at, face in enumerate(seen)
    ]


def test_face_that_stays_is_embedded_now_and_then() -> None:
    """Ten seconds of one face at 5 frames a second: one embedding in two seconds."""
    assert sum(_watch([_face(0.4)] * 50)) == 5


def test_face_that_nobody_matches_is_tried_more_often() -> None:
    """The next picture may be the one that is recognised."""
    assert sum(_watch([_face(0.4)] * 50, is_matched=False)) == 17


def test_better_picture_is_embedded_at_once() -> None:
    """Sharper, or turned to the camera: not after two seconds, now."""
    assert _watch([_face(0.4), _face(0.4), _face(0.4, sharpness=80)]) == [True, False, True]
    turned = [_face(0.4, yaw=60), _face(0.4, yaw=60), _face(0.4)]
    assert _watch(turned) == [True, False, True]


def test_face_that_walks_is_followed() -> None:
    """A fifth of its width from frame to frame is the same face."""
    assert sum(_watch([_face(0.1 + 0.02 * at) for at in range(10)])) == 1


def test_face_that_jumps_is_a_new_one() -> None:
    """Without overlap nobody knows whether it is the same."""
    assert _watch([_face(0.1), _face(0.1), _face(0.5)]) == [True, False, True]


def test_face_that_was_away_is_a_new_one() -> None:
    """In a second somebody else may have taken the place."""
    tracks = FaceTracks()
    first = tracks.follow([_face(0.4)], 10.0)
    assert tracks.follow([_face(0.4)], 10.5) == first
    assert tracks.follow([_face(0.4)], 11.5) != first


def test_time_that_goes_back_begins_anew() -> None:
    """After a cut in the video nothing is known."""
    tracks = FaceTracks()
    first = tracks.follow([_face(0.4)], 10.0)
    assert tracks.follow([_face(0.4)], 9.0) != first


def test_two_faces_keep_their_own_vectors() -> None:
    """Whatever the order in which the detector names them."""
    tracks = FaceTracks()
    left, right = _face(0.2), _face(0.6)
    _embed(tracks.follow([left, right], 0.0), [left, right], 0.0, [ALICE, BOB])
    second = tracks.follow([right, left], STEP)
    vectors = [track.vector for track in second]
    assert vectors[0] is BOB
    assert vectors[1] is ALICE


def test_faces_that_cross_are_embedded_anew() -> None:
    """Where two boxes overlap, either may be the other's."""
    tracks = FaceTracks()
    apart = [_face(0.42), _face(0.53)]
    _embed(tracks.follow(apart, 0.0), apart, 0.0, [ALICE, BOB])
    close = [_face(0.45), _face(0.49)]
    assert _embed(tracks.follow(close, STEP), close, STEP, [ALICE, BOB]) == [True, True]


def test_vector_of_somebody_else_replaces_the_held_one() -> None:
    """A face that took another's place without a gap has its own name in two seconds."""
    tracks = FaceTracks()
    face, worse = _face(0.4, sharpness=80), _face(0.4, sharpness=60)
    _embed(tracks.follow([face], 0.0), [face], 0.0, [ALICE])
    at = STEP
    while at <= SURE_SECONDS:
        tracks.follow([worse], at)
        at += STEP
    track = tracks.follow([worse], at)
    _embed(track, [worse], at, [BOB])
    assert track[0].vector is BOB


def test_worse_picture_of_the_same_person_keeps_the_better_vector() -> None:
    """The best shot stands for the track."""
    tracks = FaceTracks()
    good, blurred = _face(0.4, sharpness=80), _face(0.4, sharpness=20)
    track = tracks.follow([good], 0.0)
    _embed(track, [good], 0.0, [ALICE])
    track[0].learn(ALICE + np.float32(0.05), blurred, 2.0, _similarity)
    assert track[0].vector is ALICE


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)), max_size=6),
        min_size=1,
        max_size=8,
    )
)
def test_every_face_has_a_track_of_its_own(frames: list[list[tuple[float, float]]]) -> None:
    """However they come and go, no two faces of a frame share a track."""
    tracks = FaceTracks()
    for at, places in enumerate(frames):
        faces = [_face(left, top=top) for left, top in places]
        found = tracks.follow(faces, STEP * at)
        assert len(found) == len(faces)
        assert len({id(track) for track in found}) == len(faces)
        assert all(track.box == face.box for track, face in zip(found, faces, strict=True))
