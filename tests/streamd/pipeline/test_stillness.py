"""What need not be looked at twice: an empty scene that has not changed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.geometry import Box
from processors.picture import ArrayPicture
from processors.roi import Regions
from streamd.pipeline.stillness import Stillness

WIDTH, HEIGHT = 640, 360
NOISE = np.random.default_rng(7)


def _room(*, noise: float = 3.0) -> NDArray[np.uint8]:
    shade = np.linspace(60, 180, WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 3))
    return np.clip(shade + NOISE.normal(0, noise, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


def _visitor(left: int, top: int, *, height: int = 40, contrast: int = 60) -> NDArray[np.uint8]:
    picture = _room().astype(np.int16)
    picture[top : top + height, left : left + height // 2] -= contrast
    return np.clip(picture, 0, 255).astype(np.uint8)


def _empty(stillness: Stillness, seconds: float) -> None:
    picture = ArrayPicture(_room())
    assert not stillness.holds(picture, seconds)
    stillness.looked(picture, seconds, has_found=False)


def _looks(stillness: Stillness, start: float, seconds: float) -> int:
    looks = 0
    for at in range(round(5 * seconds)):
        picture = ArrayPicture(_room())
        if not stillness.holds(picture, start + at / 5):
            stillness.looked(picture, start + at / 5, has_found=False)
            looks += 1
    return looks


def test_unchanged_scene_is_looked_at_ever_less() -> None:
    """After 1, 2, 4, 8 seconds, then every 16: of 5 frames a second."""
    stillness = Stillness(Regions())
    assert _looks(stillness, 0.0, 16.0) == 5
    assert _looks(stillness, 16.0, 64.0) == 4


def test_change_makes_looks_frequent_again() -> None:
    """Whatever passed by may come back."""
    stillness = Stillness(Regions())
    _looks(stillness, 0.0, 40.0)
    for at, pixels in ((40.2, _visitor(300, 100)), (40.4, _room())):
        picture = ArrayPicture(pixels)
        assert not stillness.holds(picture, at)
        stillness.looked(picture, at, has_found=False)
    assert stillness.holds(ArrayPicture(_room()), 41.2)
    assert not stillness.holds(ArrayPicture(_room()), 41.6)


def test_first_frame_is_looked_at() -> None:
    """Nothing is known before."""
    assert not Stillness(Regions()).holds(ArrayPicture(_room()), 0.0)


@pytest.mark.parametrize("height", [16, 40, 200], ids=str)
def test_visitor_is_looked_at_at_once(height: int) -> None:
    """Also a small one, far away."""
    stillness = Stillness(Regions())
    _empty(stillness, 0.0)
    assert not stillness.holds(ArrayPicture(_visitor(300, 100, height=height)), 0.2)


def test_scene_with_something_in_view_is_looked_at_every_time() -> None:
    """Whoever stands still is found in every frame."""
    stillness = Stillness(Regions())
    picture = ArrayPicture(_visitor(300, 100))
    for at in range(10):
        assert not stillness.holds(picture, at / 5)
        stillness.looked(picture, at / 5, has_found=True)


def test_slow_change_adds_up() -> None:
    """Compared is with what was looked at, not with the frame before."""
    stillness = Stillness(Regions())
    _empty(stillness, 0.0)
    faces = [_visitor(300, 100, contrast=contrast) for contrast in (1, 2, 4, 6, 8)]
    held = [stillness.holds(ArrayPicture(face), 0.1 + at / 10) for at, face in enumerate(faces)]
    assert held[0]
    assert not held[-1]


def test_motion_outside_the_regions_does_not_matter() -> None:
    """A street beside the door."""
    door = Regions([Box(left=0.0, top=0.0, width=0.3, height=1.0)])
    stillness = Stillness(door)
    _empty(stillness, 0.0)
    assert stillness.holds(ArrayPicture(_visitor(500, 100)), 0.2)
    assert not stillness.holds(ArrayPicture(_visitor(100, 100)), 0.4)


def test_time_that_goes_back_is_another_scene() -> None:
    """After a cut in the video nothing is known."""
    stillness = Stillness(Regions())
    _empty(stillness, 10.0)
    assert not stillness.holds(ArrayPicture(_room()), 9.0)
