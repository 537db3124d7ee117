"""Whether a pack is in order, what helps if not, and loading it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn

import pytest

from processors.errors import PackError, PackFileError, PullError
from processors.models.packs import (
    Pack,
    PackFile,
    PackState,
    PackStatus,
    best_label_pack,
    find_pack,
    load_face_analyzer,
    load_label_analyzer,
    pack_state,
    pull_pack,
    verified_files,
)

CONTENT = {"one.onnx": b"first network", "two.onnx": b"second network"}


def _file(name: str, *, package: str | None = None) -> PackFile:
    content = CONTENT.get(name, b"x")
    return PackFile(
        name=name,
        role=name.partition(".")[0],
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        licence="none",
        source="a test",
        package=package,
    )


def _pack(*files: PackFile, requirements: tuple[str, ...] = ()) -> Pack:
    return Pack(
        name="sample",
        kind="faces",
        version="9",
        family="none",
        title="a sample",
        licence="none",
        files=files,
        requirements=requirements,
    )


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


SAMPLE = _pack(_file("one.onnx"), _file("two.onnx"))


def test_pull_makes_it_ready(tmp_path: Path, mirror: Path) -> None:
    """Missing before, ready after, progress told to the last byte, nothing else left behind."""
    models, told = tmp_path / "models", []
    before = pack_state(SAMPLE, models)
    pull_pack(
        SAMPLE, models, mirror=str(mirror), progress=lambda file, n: told.append((file.name, n))
    )
    assert before == PackState(
        status=PackStatus.MISSING,
        files=("one.onnx", "two.onnx"),
        advice="streamd models pull sample",
    )
    assert pack_state(SAMPLE, models).status is PackStatus.READY
    assert told == [("one.onnx", 13), ("two.onnx", 14)]
    assert sorted(path.name for path in models.iterdir()) == ["one.onnx", "two.onnx"]


def test_pull_fetches_only_what_is_not_in_order(tmp_path: Path, mirror: Path) -> None:
    """A good file is left alone, a damaged one is replaced."""
    models = tmp_path / "models"
    pull_pack(SAMPLE, models, mirror=str(mirror))
    untouched = (models / "one.onnx").stat().st_mtime_ns
    (models / "two.onnx").write_bytes(b"second netw0rk")
    damaged = pack_state(SAMPLE, models)
    (mirror / "one.onnx").unlink()
    pull_pack(SAMPLE, models, mirror=str(mirror))
    assert (damaged.status, damaged.files) == (PackStatus.DAMAGED, ("two.onnx",))
    assert (models / "one.onnx").stat().st_mtime_ns == untouched
    assert pack_state(SAMPLE, models).status is PackStatus.READY


def test_files_come_by_role(tmp_path: Path, mirror: Path) -> None:
    """Verified files are named by what they do."""
    pull_pack(SAMPLE, tmp_path, mirror=str(mirror))
    files = verified_files(SAMPLE, tmp_path)
    assert files == {"one": tmp_path / "one.onnx", "two": tmp_path / "two.onnx"}


def test_a_missing_pack_says_what_to_run(tmp_path: Path) -> None:
    """Loading names the files and the command."""
    with pytest.raises(PackFileError, match="run: streamd models pull yunet-retail0095"):
        load_face_analyzer("yunet-retail0095", tmp_path)


def test_packages_that_are_not_installed(tmp_path: Path) -> None:
    """The advice is pip's, since there is nothing to pull."""
    pack = _pack(_file("w.dat", package="no_such_package"), requirements=("no_such_package==1",))
    state = pack_state(pack, tmp_path)
    assert state.status is PackStatus.NOT_INSTALLED
    assert state.advice == "pip install 'no_such_package==1'"
    with pytest.raises(PackFileError, match="pip install 'no_such_package==1'"):
        pull_pack(pack, tmp_path, mirror=None)


def test_a_package_with_another_file_in_it(tmp_path: Path) -> None:
    """A file of an installed package that differs from its hash is damaged."""
    pack = _pack(_file("__init__.py", package="numpy"), requirements=("numpy==2",))
    state = pack_state(pack, tmp_path)
    assert state.status is PackStatus.DAMAGED
    assert state.advice == "pip install --force-reinstall --no-deps 'numpy==2'"


def test_the_built_in_pack_needs_no_models_directory() -> None:
    """Its files come with Python packages, which are found and not imported."""
    import sys

    state = pack_state(find_pack("builtin"), Path("nowhere"))
    assert state == PackState(status=PackStatus.READY)
    assert "mtcnn" not in sys.modules
    assert "face_recognition_models" not in sys.modules


def test_without_an_official_address_a_mirror_is_needed(tmp_path: Path) -> None:
    """The error says so."""
    with pytest.raises(PullError, match="name a directory or URL that holds it as mirror"):
        pull_pack(SAMPLE, tmp_path, mirror=None)


def _no_faces() -> NoReturn:
    raise AssertionError("not needed")


def test_kinds_are_not_mixed_up(tmp_path: Path) -> None:
    """A label pack is no face pack, and the other way round."""
    with pytest.raises(PackError, match="finds labels, not faces"):
        load_face_analyzer("faces", tmp_path)
    with pytest.raises(PackError, match="finds faces, not labels"):
        load_label_analyzer("builtin", tmp_path, faces=_no_faces)


def test_without_any_file_persons_come_from_faces(tmp_path: Path) -> None:
    """The automatic choice falls back to the pack that needs no file."""
    assert best_label_pack(tmp_path).name == "faces"
