"""Motion in small planes of brightness: a block is enough, noise and light are not."""

from __future__ import annotations

import numpy as np
import pytest

from processors.geometry import WHOLE_PICTURE, Box, Point, Polygon
from processors.roi import Regions
from streamd.gate.scene import (
    COLUMNS,
    HEIGHT_PX,
    ROWS,
    WIDTH_PX,
    Background,
    Luma,
    Motion,
    Scene,
    block_mask,
)

EVERYWHERE = np.ones((ROWS, COLUMNS), np.bool_)
STEP_NS = 200_000_000


def room(*, noise: float = 0.0, seed: int = 0) -> Luma:
    """A gradient with noise."""
    ys, xs = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    grain = np.random.default_rng(seed).normal(0, noise, (HEIGHT_PX, WIDTH_PX))
    luma: Luma = np.clip(60 + xs / 2 + ys / 3 + grain, 0, 255).astype(np.uint8)
    return luma


def with_person(luma: Luma, *, left: int = 80, top: int = 40, contrast: int = 40) -> Luma:
    """One of 2 x 5 pixels: in 1080p 24 x 60, too small for a detector."""
    changed = luma.copy()
    changed[top : top + 5, left : left + 2] -= np.uint8(contrast)
    return changed


def test_small_and_far_is_seen() -> None:
    """A thousandth of the picture is a change, and the same picture is none."""
    scene = Scene(EVERYWHERE)
    assert scene.change(room(), room()) == 0
    assert scene.change(with_person(room()), room()) > 1


def test_light_that_all_share_is_no_motion() -> None:
    """Automatic exposure and a cloud; a lamp in a corner is one."""
    scene = Scene(EVERYWHERE)
    assert scene.change(room() + np.uint8(20), room()) < 1
    lamp = room()
    lamp[:30, :40] += np.uint8(30)
    assert scene.change(lamp, room()) > 1


def test_noise_is_learnt_block_by_block() -> None:
    """Where leaves move all the time they count no more, a person elsewhere does."""
    scene = Scene(EVERYWHERE)
    leaves = np.random.default_rng(1)

    def picture() -> Luma:
        luma = room()
        luma[:12, :40] += leaves.integers(0, 24, (12, 40)).astype(np.uint8)
        return luma

    assert scene.change(picture(), picture()) > 1
    for _ in range(600):
        scene.watch(picture(), picture())
    assert max(scene.change(picture(), picture()) for _ in range(20)) < 1
    assert scene.change(with_person(picture()), picture()) > 1


def test_mask_leaves_out_what_lies_outside() -> None:
    """Only blocks of the regions count."""
    crop, mask = block_mask(Regions([Box(left=0.0, top=0.0, width=0.25, height=0.5)]))
    assert (crop.width, crop.height) == (0.25, 0.5)
    assert mask.all()
    triangle = Polygon(points=(Point(x=0, y=0), Point(x=1, y=0), Point(x=0, y=1)))
    crop, mask = block_mask(Regions([triangle]))
    assert crop == WHOLE_PICTURE
    assert (mask[0, 0], mask[-1, -1]) == (True, False)
    assert mask.mean() == pytest.approx(0.5, abs=0.03)
    scene = Scene(mask)
    assert scene.change(with_person(room(), left=150, top=80), room()) == 0
    assert scene.change(with_person(room(), left=10, top=10), room()) > 1


def test_no_regions_and_regions_outside() -> None:
    """Both look at the whole picture."""
    for regions in (Regions(), Regions([Box(left=2, top=2, width=1, height=1)])):
        crop, mask = block_mask(regions)
        assert crop == WHOLE_PICTURE
        assert mask.all()


def test_slow_motion_is_compared_with_a_second_ago() -> None:
    """What moves a pixel in a second is seen; what stands still is not."""
    motion = Motion(Scene(EVERYWHERE))
    scores = []
    for look in range(20):
        picture = room()
        picture[30:60, 40 : 70 + look // 5] -= np.uint8(40)
        scores.append(motion.look(look * STEP_NS, picture))
    assert all(score > 1 for score in scores[5:])
    still = [motion.look((20 + look) * STEP_NS, room()) for look in range(12)]
    assert still[0] > 1
    assert max(still[6:]) < 1


def test_motion_begins_anew_where_time_goes_back() -> None:
    """A fragment read again is not compared with its own end."""
    motion = Motion(Scene(EVERYWHERE))
    for look in range(8):
        motion.look(look * STEP_NS, room())
    assert motion.look(0, with_person(room())) == 0


def test_background_follows_slowly() -> None:
    """Dusk goes unnoticed; what comes is noticed, and is there to stay after a while."""
    background = Background(Scene(EVERYWHERE), room())
    dusk = np.linspace(1, 0.8, 60)
    assert max(background.judge((room() * level).astype(np.uint8)) for level in dusk) < 1
    parcel = with_person((room() * 0.8).astype(np.uint8))
    scores = [background.judge(parcel) for _ in range(20)]
    assert scores[0] > 1
    assert scores[-1] < 1
