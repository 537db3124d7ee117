"""The face analyzer's contract, held by every pack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from processors.errors import PackFormatError
from processors.faces.analyzer import FaceAnalyzer, build
from processors.geometry import WHOLE_PICTURE, Box
from processors.models.packs import find_pack
from processors.models.runtime import RuntimeOptions
from processors.picture import ArrayPicture
from tests.support.faces import astronaut, face_analyzer, portrait

FACE = Box(left=0.35, top=0.12, width=0.17, height=0.22)


@pytest.fixture(params=["builtin", pytest.param("yunet-retail0095", marks=pytest.mark.shared)])
def analyzer(request: pytest.FixtureRequest) -> FaceAnalyzer:
    return face_analyzer(request.param)


def _picture(image: Image.Image) -> ArrayPicture:
    return ArrayPicture(np.asarray(image))


def _wall(sizes_px: tuple[int, ...]) -> ArrayPicture:
    """The astronaut's face several times, each as wide as given."""
    wall = Image.new("RGB", (640, 360), (90, 90, 90))
    face, left = portrait().crop((150, 30, 300, 200)), 0
    for size in sizes_px:
        wall.paste(face.resize((size, size * 17 // 15)), (left, 40))
        left += size + 10
    return _picture(wall)


def test_names_and_versions() -> None:
    """Two packs have different versions and vectors of different sizes."""
    builtin = face_analyzer("builtin")
    assert (builtin.name, builtin.model_version, builtin.vector_size) == ("builtin", "8.1", 128)


@pytest.mark.shared
def test_names_and_versions_of_the_drop_in_pack() -> None:
    """The drop-in pack's version differs from the built-in one's."""
    drop_in = face_analyzer("yunet-retail0095")
    assert (drop_in.model_version, drop_in.vector_size) == ("8.2", 256)


def test_the_astronaut(analyzer: FaceAnalyzer) -> None:
    """One face: where it is, how sure, looking at the camera, well lit and sharp."""
    [face] = analyzer.detect(astronaut())
    assert face.box.iou(FACE) > 0.85
    assert face.confidence_percent > 99
    assert face.landmarks.eye_left.x < face.landmarks.nose.x < face.landmarks.eye_right.x
    assert face.landmarks.eye_left.y < face.landmarks.nose.y < face.landmarks.mouth_left.y
    assert face.pose is not None
    assert abs(face.pose.yaw) < 15
    assert abs(face.pose.roll) < 10
    assert 50 < face.quality.brightness < 75
    assert 60 < face.quality.sharpness < 85


def test_nobody(analyzer: FaceAnalyzer) -> None:
    """Without a face there is an empty list, and an empty matrix of vectors."""
    picture = ArrayPicture(np.full((240, 320, 3), 128, dtype=np.uint8))
    assert analyzer.detect(picture) == []
    assert analyzer.embed(picture, []).shape == (0, analyzer.vector_size)


def test_largest_first(analyzer: FaceAnalyzer) -> None:
    """Faces come by size, and only as many of the largest as are wanted."""
    picture = _wall((90, 190, 120))
    widths = [face.box.width * 640 for face in analyzer.detect(picture)]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)
    [largest] = analyzer.detect(picture, max_faces=1)
    assert largest.box.width * 640 == pytest.approx(widths[0])
    assert analyzer.detect(picture, max_faces=0) == []


def test_regions(analyzer: FaceAnalyzer) -> None:
    """Inside a region boxes stay relative to the picture; elsewhere nothing is found."""
    [face] = analyzer.detect(astronaut(), region=Box(left=0.2, top=0.0, width=0.5, height=0.5))
    assert face.box.iou(FACE) > 0.8
    below = Box(left=0.0, top=0.6, width=1.0, height=0.4)
    assert analyzer.detect(astronaut(), region=below) == []


def test_one_person_is_similar_another_is_not(analyzer: FaceAnalyzer) -> None:
    """The astronaut mirrored, small or dark is over 80 %; her face upside down is not."""
    picture = astronaut()
    [vector] = analyzer.embed(picture, analyzer.detect(picture))
    variants = [
        portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        portrait().resize((300, 300)),
        portrait().point(lambda value: value // 2),
        portrait().rotate(20),
    ]
    for image in variants:
        other = _picture(image)
        [same] = analyzer.embed(other, analyzer.detect(other))
        assert analyzer.similarity_percent(float(np.linalg.norm(vector - same))) > 80
    faces = analyzer.detect(picture)
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    [stranger] = analyzer.embed(ArrayPicture(noise), faces)
    assert analyzer.similarity_percent(float(np.linalg.norm(vector - stranger))) < 20


def test_similarity_can_be_turned_back(analyzer: FaceAnalyzer) -> None:
    """distance_at is the inverse; identical vectors are nearly 100 % similar."""
    assert analyzer.similarity_percent(analyzer.distance_at(80)) == pytest.approx(80)
    assert analyzer.similarity_percent(0.0) > 99.9


def test_many_faces_have_one_vector_each(analyzer: FaceAnalyzer) -> None:
    """Vectors come in the order of the faces."""
    picture = _wall((90, 190, 120))
    faces = analyzer.detect(picture)
    vectors = analyzer.embed(picture, faces)
    assert vectors.shape == (3, analyzer.vector_size)
    [last] = analyzer.embed(picture, faces[2:])
    np.testing.assert_allclose(vectors[2], last, atol=1e-5)


def test_many_threads_share_one_analyzer(analyzer: FaceAnalyzer) -> None:
    """Every thread gets the answers it would get alone."""
    pictures = [astronaut(), _wall((90, 190, 120)), _wall((150,))]
    alone = [analyzer.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda n: analyzer.detect(pictures[n % 3]), range(18)))
    assert together == [alone[n % 3] for n in range(18)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 2)], ids=lambda s: f"{s[1]}x{s[0]}")
def test_odd_pictures(analyzer: FaceAnalyzer, shape: tuple[int, int]) -> None:
    """Pictures of one row, one column or one pixel have no face and break nothing."""
    assert analyzer.detect(ArrayPicture(np.full((*shape, 3), 77, dtype=np.uint8))) == []


def test_a_huge_picture(analyzer: FaceAnalyzer) -> None:
    """In 24 megapixels the face that fills a third of them is found, and fast."""
    image = portrait().crop((128, 0, 384, 256)).resize((4900, 4900))
    [face] = analyzer.detect(_picture(image))
    assert face.box.iou(Box(left=0.2, top=0.25, width=0.34, height=0.44)) > 0.7


def test_an_unknown_family_is_refused() -> None:
    """A face pack that no code decodes is an error, not a crash."""
    pack = replace(find_pack("builtin"), family="smoke-signals")
    with pytest.raises(PackFormatError, match="unknown family 'smoke-signals'"):
        build(pack, {}, RuntimeOptions())


def test_the_default_region_is_the_whole_picture(analyzer: FaceAnalyzer) -> None:
    """Naming the whole picture changes nothing."""
    assert analyzer.detect(astronaut(), region=WHOLE_PICTURE) == analyzer.detect(astronaut())


def test_loading_needs_no_models_directory() -> None:
    """The built-in pack loads from the installed packages alone."""
    assert not Path("nowhere").exists()
    assert face_analyzer("builtin").vector_size == 128
