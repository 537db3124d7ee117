"""The files of a cached collection: appended, wiped, published, never half."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamd.store.faces import StoredFace
from streamd.store.vector_files import Manifest, VectorFiles
from tests.support.store import make_face


def stored(*numbers: int) -> list[StoredFace]:
    """Return numbered faces with their number as sequence."""
    made = [(number, *make_face(number)) for number in numbers]
    return [
        StoredFace(sequence=number, face=face, vector=vector.tobytes())
        for number, face, vector in made
    ]


@pytest.fixture
def files(tmp_path: Path) -> VectorFiles:
    files = VectorFiles(tmp_path / "cache" / "collection")
    with files.locked(wait=True):
        pass
    return files


def published(files: VectorFiles, *numbers: int) -> Manifest:
    """Publish a generation of these faces."""
    manifest = replace(files.append(files.begin(4), stored(*numbers)), revision=max(numbers))
    files.publish(manifest)
    return manifest


def test_published_faces_are_mapped(files: VectorFiles) -> None:
    """Vectors and metadata come back row by row."""
    published(files, 1, 5, 9)
    manifest = files.manifest()
    assert manifest is not None
    mapped = files.map(manifest)
    assert mapped.vectors.tolist() == [[1.0] * 4, [5.0] * 4, [9.0] * 4]
    assert [mapped.face(row) for row in range(3)] == [make_face(n)[0] for n in (1, 5, 9)]
    assert [mapped.find(n) for n in (1, 5, 9, 4, 10, 0)] == [0, 1, 2, None, None, None]


def test_map_cannot_be_written(files: VectorFiles) -> None:
    """Searching code cannot damage what others share."""
    mapped = files.map(published(files, 1))
    with pytest.raises(ValueError, match="read-only"):
        mapped.vectors[0] = 0


def test_face_without_an_external_id(files: VectorFiles) -> None:
    """No external id stays none."""
    (face,) = stored(1)
    nameless = replace(face, face=face.face.model_copy(update={"external_image_id": None}))
    mapped = files.map(files.append(files.begin(4), [nameless]))
    assert mapped.face(0) == nameless.face


def test_appended_rows_count_once_published(files: VectorFiles) -> None:
    """What a writer left behind when it died is overwritten by the next."""
    manifest = published(files, 1)
    files.append(manifest, stored(2, 3))
    assert files.manifest() == manifest
    longer = files.append(manifest, stored(7))
    files.publish(longer)
    assert files.map(longer).vectors.tolist() == [[1.0] * 4, [7.0] * 4]


def test_earlier_maps_stay_right_while_rows_are_added(files: VectorFiles) -> None:
    """A reader keeps the moment it mapped."""
    manifest = published(files, 1)
    mapped = files.map(manifest)
    files.publish(files.append(manifest, stored(2)))
    assert mapped.vectors.tolist() == [[1.0] * 4]


def test_wiped_face_is_gone_from_earlier_maps(files: VectorFiles) -> None:
    """A deletion reaches everyone at once: no metadata, a vector near to nothing."""
    manifest = published(files, 1, 2, 3)
    mapped = files.map(manifest)
    wiped = files.wipe(manifest, [2, 99])
    assert wiped.dead == 1
    assert mapped.face(1) is None
    assert np.isnan(mapped.vectors[1]).all()
    assert mapped.face(2) == make_face(3)[0]
    assert files.wipe(wiped, [2]).dead == 1


def test_wiped_bytes_are_nowhere_in_the_files(files: VectorFiles, tmp_path: Path) -> None:
    """Neither the vector nor the person's name is left on disk."""
    files.wipe(published(files, 7), [7])
    left = b"".join(p.read_bytes() for p in (tmp_path / "cache" / "collection").iterdir())
    assert b"person-7" not in left
    assert make_face(7)[1].tobytes() not in left


def test_compaction_keeps_the_living(files: VectorFiles, tmp_path: Path) -> None:
    """Another generation without the dead; the old files go, old maps live on."""
    manifest = files.wipe(published(files, 1, 2, 3), [1])
    mapped = files.map(manifest)
    compact = files.compact(manifest)
    files.publish(compact)
    assert (compact.rows, compact.dead, compact.revision) == (2, 0, 3)
    assert [files.map(compact).face(row) for row in (0, 1)] == [make_face(n)[0] for n in (2, 3)]
    assert mapped.face(2) == make_face(3)[0]
    assert sorted(p.name for p in (tmp_path / "cache" / "collection").iterdir()) == sorted(
        ["lock", "manifest.json", f"{compact.generation}.faces", f"{compact.generation}.vectors"]
    )


def test_all_dead_compact_to_nothing(files: VectorFiles) -> None:
    """A collection may become empty and grow again."""
    manifest = files.compact(files.wipe(published(files, 1, 2), [1, 2]))
    files.publish(manifest)
    assert files.map(manifest).vectors.shape == (0, 4)
    assert files.map(files.append(manifest, stored(3))).vectors.tolist() == [[3.0] * 4]


@pytest.mark.parametrize("damage", ["garbage", "other format", "short file", "missing file"])
def test_damaged_files_do_not_count(files: VectorFiles, tmp_path: Path, damage: str) -> None:
    """Files that cannot be right are as good as none."""
    directory = tmp_path / "cache" / "collection"
    manifest = published(files, 1, 2)
    vectors = directory / f"{manifest.generation}.vectors"
    if damage == "garbage":
        (directory / "manifest.json").write_bytes(b"\xff{")
    elif damage == "other format":
        files.publish(replace(manifest, format=99))
    elif damage == "short file":
        vectors.write_bytes(vectors.read_bytes()[:-1])
    else:
        vectors.unlink()
    assert files.manifest() is None


def test_files_are_for_their_owner_alone(files: VectorFiles, tmp_path: Path) -> None:
    """Vectors are biometric data."""
    published(files, 1)
    directory = tmp_path / "cache" / "collection"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_one_writer_at_a_time(files: VectorFiles, tmp_path: Path) -> None:
    """Who does not want to wait is told; removal ends it all."""
    other = VectorFiles(tmp_path / "cache" / "collection")
    with files.locked(wait=True) as first, other.locked(wait=False) as second:
        assert (first, second) == (True, False)
    with other.locked(wait=False) as third:
        assert third
    files.remove()
    assert not (tmp_path / "cache" / "collection").exists()
