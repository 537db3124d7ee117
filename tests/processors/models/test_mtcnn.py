"""MTCNN finds the faces that are there, whatever the size and shape of the picture."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from processors.geometry import Box
from processors.models.mtcnn import Mtcnn, MtcnnOptions
from processors.models.packs import find_pack, verified_files
from processors.models.runtime import RuntimeOptions
from processors.picture import ArrayPicture
from tests.support.faces import astronaut, face_analyzer, load, portrait, shared_dir


@functools.cache
def _loaded() -> Mtcnn:
    face_analyzer("builtin")  # skips where the pack is not installed
    pack = find_pack("builtin")
    options = MtcnnOptions.from_table(pack.options["detector"])
    return Mtcnn(verified_files(pack, Path("nowhere")), options, RuntimeOptions())


@pytest.fixture
def detector() -> Mtcnn:
    return _loaded()


def test_finds_the_astronaut(detector: Mtcnn) -> None:
    """One face, its landmarks where eyes, nose and mouth are."""
    [face] = detector.find(astronaut())
    assert face.score > 0.99
    assert face.box.iou(Box(left=0.35, top=0.12, width=0.17, height=0.22)) > 0.85
    expected = [(0.398, 0.200), (0.482, 0.202), (0.438, 0.250), (0.394, 0.276), (0.478, 0.278)]
    np.testing.assert_allclose(face.landmarks, expected, atol=0.008)


@pytest.mark.parametrize("size_px", [300, 512, 1024, 1600], ids=str)
def test_finds_her_at_any_size(detector: Mtcnn, size_px: int) -> None:
    """Boxes are ratios: they stay where they are when the picture grows."""
    picture = ArrayPicture(np.asarray(portrait().resize((size_px, size_px))))
    [face] = detector.find(picture)
    assert face.box.iou(Box(left=0.35, top=0.12, width=0.17, height=0.22)) > 0.8


def test_a_face_that_fills_the_picture(detector: Mtcnn) -> None:
    """A tight crop of 90 x 112 pixels, forehead and chin cut off, is found."""
    picture = ArrayPicture(np.asarray(portrait().crop((180, 62, 270, 174))))
    [face] = detector.find(picture)
    assert face.box.area > 0.7


def test_a_face_at_the_edge(detector: Mtcnn) -> None:
    """Windows may leave the picture: a face cut at the chin is found."""
    picture = ArrayPicture(np.asarray(portrait().crop((0, 0, 512, 160))))
    [face] = detector.find(picture)
    assert face.box.iou(Box(left=0.35, top=0.39, width=0.17, height=0.61)) > 0.6


def test_looks_only_at_the_region(detector: Mtcnn) -> None:
    """Boxes are relative to the picture all the same; outside the region is nothing."""
    upper = Box(left=0.25, top=0.0, width=0.5, height=0.5)
    [face] = detector.find(astronaut(), region=upper)
    assert face.box.iou(Box(left=0.35, top=0.12, width=0.17, height=0.22)) > 0.8
    lower = Box(left=0.0, top=0.5, width=1.0, height=0.5)
    assert detector.find(astronaut(), region=lower) == []


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 3000), (3000, 5), (12, 12), (480, 640)], ids=lambda s: f"{s[1]}x{s[0]}"
)
def test_no_face_in_noise(detector: Mtcnn, shape: tuple[int, int]) -> None:
    """Noise of any size and shape has no face and breaks nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.find(ArrayPicture(noise)) == []


def test_candidates_are_capped() -> None:
    """A wall of faces does not grow the batches: with room for 4 at most 4 are found."""
    pack = find_pack("builtin")
    face_analyzer("builtin")
    options = MtcnnOptions(max_candidates=(4, 4))
    small = Mtcnn(verified_files(pack, Path("nowhere")), options, RuntimeOptions())
    face = portrait().crop((165, 45, 285, 189))
    wall = Image.new("RGB", (600, 576))
    for index in range(20):
        wall.paste(face, (120 * (index % 5), 144 * (index // 5)))
    found = _loaded().find(ArrayPicture(np.asarray(wall)))
    assert len(found) == 20
    assert len(small.find(ArrayPicture(np.asarray(wall)))) <= 4


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("000_5.jpg", 5),
        ("010_2.jpg", 2),
        ("012_4.jpg", 4),
        ("014_5.jpg", 5),
        ("017_0.jpg", 0),
        ("dlib_2008_001322.jpg", 3),
        ("dlib_2007_007763.jpg", 7),
        ("people-poses.jpg", 7),
    ],
)
def test_counts_groups(detector: Mtcnn, name: str, faces: int) -> None:
    """Every face of the hand-counted group photos is found, and nothing else."""
    assert len(detector.find(load(shared_dir() / "media" / "groups" / name))) == faces


@pytest.mark.shared
def test_finds_a_face_in_every_aligned_crop(detector: Mtcnn) -> None:
    """None of the first 100 LFW crops, filled by their face, is missed."""
    media = shared_dir() / "media"
    with (media / "lfw_pairs.csv").open() as source:
        names = sorted({row["file_a"] for row in csv.DictReader(source)})[:100]
    assert [name for name in names if not detector.find(load(media / name))] == []
