"""From a pack, or a user's own description, to an analyzer."""

from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from processors.errors import NetworkError, PackFileError, PackFormatError
from processors.labels import FAMILIES, LabelAnalyzer
from processors.models.catalog import find_pack
from processors.models.packs import load_label_analyzer
from tests.processors.labels.test_from_faces import FixedFaces
from tests.processors.models.fakes import blank_picture

DESCRIPTION = """
kind = "labels"
family = "yolov8"
files = [
    { name = "porch.onnx", role = "detector" },
    { name = "names.txt", role = "classes" },
]

[options.labels.PACKAGE]
classes = ["parcel"]
threshold = 0.5
sure = 0.75
"""


def write_network(path: Path, *, height: int | str = 32, width: int | str = 64) -> None:
    """Write a YOLOv8-like network of two classes that sees one parcel in every picture."""
    answer = np.zeros((1, 6, 3), dtype=np.float32)
    answer[0, :, 1] = [32, 16, 32, 16, 0.1, 0.75]
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["output0"], value=numpy_helper.from_array(answer))],
        "porch",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """Return a user's description with its network and class names beside it."""
    write_network(tmp_path / "porch.onnx")
    (tmp_path / "names.txt").write_text("person\nparcel\n")
    path = tmp_path / "porch.toml"
    path.write_text(DESCRIPTION)
    return path


def load(path: Path, models_dir: Path | None = None) -> LabelAnalyzer:
    """Load a description."""
    return load_label_analyzer(str(path), models_dir or path.parent / "models", faces=no_faces)


def no_faces() -> NoReturn:
    """Stand for a face analyzer that nobody should ask for."""
    raise AssertionError("this pack needs no faces")


def test_own_network_is_described_by_a_small_file(described: Path) -> None:
    """A user's ONNX file, its class names and a few lines make an analyzer."""
    analyzer = load(described)
    assert (analyzer.name, analyzer.version) == ("porch", "0")
    assert analyzer.labels == {"PACKAGE"}
    found = analyzer.detect(blank_picture(200, 100))
    assert [(each.name, each.class_name, round(each.confidence_percent)) for each in found] == [
        ("PACKAGE", "parcel", 90)
    ]
    box = found[0].box
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.25, 0.25, 0.75, 0.75))
    assert find_pack(str(described)).labels == ("PACKAGE",)


def test_size_is_read_from_the_network(described: Path) -> None:
    """Where the network fixes no size the description may; else they must agree."""
    described.write_text(DESCRIPTION + "\n[options.input]\nsize = [640, 640]\n")
    with pytest.raises(PackFormatError, match=r"takes pictures of \(64, 32\), .* \(640, 640\)"):
        load(described)
    write_network(described.with_name("porch.onnx"), height="h", width="w")
    assert load(described).detect(blank_picture())[0].box.width == pytest.approx(32 / 640)


def test_network_of_another_family_fails_when_loaded(described: Path) -> None:
    """A wrong family is told at once, with what the network answers."""
    described.write_text(DESCRIPTION.replace("yolov8", "yolox"))
    with pytest.raises(NetworkError, match=r"YoloX with 2 classes: .* got \(1, 6, 3\)"):
        load(described)


def test_wrong_number_of_classes_fails_when_loaded(described: Path) -> None:
    """A list of names that does not fit the network is told at once."""
    described.with_name("names.txt").write_text("person\nparcel\ncarton\n")
    with pytest.raises(NetworkError, match="YoloV8 with 3 classes"):
        load(described)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("yolov8", "ssd", "needs a family of detr, faces, fastestdet, nanodet, yolov8, yolox"),
        ('role = "detector"', 'role = "network"', "names no file of role detector"),
        ("threshold = 0.5", "", "threshold: Field required"),
        ('"parcel"', '"box"', "PACKAGE: the network has no class box"),
    ],
    ids=["family", "role", "threshold", "class"],
)
def test_mistakes_in_a_description_are_named(
    described: Path, old: str, new: str, message: str
) -> None:
    """A description with a mistake is refused with its name and the mistake."""
    described.write_text(DESCRIPTION.replace(old, new))
    with pytest.raises(PackFormatError, match=f"'porch'.*{message}"):
        load(described)


def test_file_that_is_no_network_is_refused(described: Path) -> None:
    """A damaged ONNX file is an error of this library."""
    described.with_name("porch.onnx").write_bytes(b"not a network")
    with pytest.raises(NetworkError):
        load(described)


def test_absent_network_is_named(described: Path) -> None:
    """A file that is not there is named."""
    described.with_name("porch.onnx").unlink()
    with pytest.raises(PackFileError, match=r"missing: porch.onnx"):
        load(described)


def test_faces_pack_asks_for_the_face_analyzer(tmp_path: Path) -> None:
    """The pack ``faces`` tells PERSON from faces and says so."""
    analyzer = load_label_analyzer("faces", tmp_path, faces=FixedFaces)  # type: ignore[arg-type]  # finds no faces, which is enough
    assert analyzer.labels == {"PERSON"}
    assert analyzer.note is not None
    assert analyzer.note.startswith("PERSON from faces only")
    assert analyzer.detect(blank_picture()) == []


def test_families_users_have() -> None:
    """There is a decoder for each family of the documentation."""
    assert set(FAMILIES) == {"nanodet", "yolox", "yolov8", "detr", "fastestdet"}
