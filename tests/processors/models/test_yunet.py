"""YuNet finds the faces that are there, and reads its outputs as its authors do."""

from __future__ import annotations

import csv
import functools

import numpy as np
import pytest

from processors.geometry import Box
from processors.models.packs import find_pack, verified_files
from processors.models.runtime import RuntimeOptions
from processors.models.yunet import YuNet, YuNetOptions, _cells, _edges, _padded
from processors.picture import ArrayPicture
from tests.support.faces import astronaut, load, models_dir, shared_dir


@functools.cache
def _loaded() -> YuNet:
    pack = find_pack("yunet-retail0095")
    options = YuNetOptions.from_table(pack.options["detector"])
    return YuNet(verified_files(pack, models_dir())["detector"], options, RuntimeOptions())


@pytest.fixture
def detector() -> YuNet:
    return _loaded()


def test_pictures_are_padded_to_multiples_of_32() -> None:
    """BGR, at the top left, filled with 0."""
    rgb = np.full((33, 20, 3), (1, 2, 3), dtype=np.uint8)
    pixels = _padded(rgb)
    assert pixels.shape == (1, 3, 64, 32)
    assert pixels[0, :, 32, 19].tolist() == [3, 2, 1]
    assert pixels[0, :, 33, 0].tolist() == [0, 0, 0]
    assert pixels[0, :, 0, 20].tolist() == [0, 0, 0]


def test_boxes_are_read_cell_by_cell() -> None:
    """Row-major grids of strides 8, 16, 32; a box is an offset and two logarithms."""
    origins, strides = _cells(32, 64)
    assert len(origins) == 4 * 8 + 2 * 4 + 1 * 2
    assert origins[9].tolist() == [1, 1]
    assert (strides[31, 0], strides[32, 0], strides[41, 0]) == (8, 16, 32)
    boxes = np.array([[0.5, 0.5, 0.0, np.log(2)]], dtype=np.float32)
    [edges] = _edges(boxes, origins[9:10], strides[9:10])
    assert edges.tolist() == pytest.approx([8, 4, 16, 20])


@pytest.mark.shared
def test_finds_the_astronaut(detector: YuNet) -> None:
    """One face, its landmarks where eyes, nose and mouth are."""
    [face] = detector.find(astronaut())
    assert face.box.iou(Box(left=0.35, top=0.12, width=0.17, height=0.22)) > 0.85
    expected = [(0.398, 0.200), (0.482, 0.202), (0.438, 0.250), (0.396, 0.278), (0.476, 0.279)]
    np.testing.assert_allclose(face.landmarks, expected, atol=0.008)


@pytest.mark.shared
def test_looks_only_at_the_region(detector: YuNet) -> None:
    """Boxes are relative to the picture all the same; outside the region is nothing."""
    upper = Box(left=0.25, top=0.0, width=0.5, height=0.5)
    [face] = detector.find(astronaut(), region=upper)
    assert face.box.iou(Box(left=0.35, top=0.12, width=0.17, height=0.22)) > 0.8
    lower = Box(left=0.0, top=0.5, width=1.0, height=0.5)
    assert detector.find(astronaut(), region=lower) == []


@pytest.mark.shared
@pytest.mark.parametrize("shape", [(1, 1), (5, 3000), (480, 640)], ids=lambda s: f"{s[1]}x{s[0]}")
def test_no_face_in_noise(detector: YuNet, shape: tuple[int, int]) -> None:
    """Noise of any size and shape has no face and breaks nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.find(ArrayPicture(noise)) == []


@pytest.mark.shared
def test_counts_groups(detector: YuNet) -> None:
    """Every face of the hand-counted group photos is found, and nothing else."""
    media = shared_dir() / "media"
    with (media / "groups.csv").open() as source:
        counts = {row["file"]: int(row["faces"]) for row in csv.DictReader(source)}
    assert {name: len(detector.find(load(media / name))) for name in counts} == counts
    assert sum(counts.values()) == 33
