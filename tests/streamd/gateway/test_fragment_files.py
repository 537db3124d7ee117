"""Local files of fragments: states, limits, and writing one."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest

from streamd.gateway.archive import Retention, StoredFragment
from streamd.gateway.errors import ArchiveError
from streamd.gateway.file_writer import FileWriter
from streamd.gateway.fragment_files import FileState, FragmentFiles
from streamd.gateway.object_keys import fragment_name
from tests.support.archives import ARN, DAY

BUFFER = Retention(max_age_ms=1, max_bytes=1, durable=False)


def written(
    files: FragmentFiles, number: int, *, size: int = 10, retention: Retention = DAY
) -> StoredFragment:
    writer = FileWriter(
        files=files, retention=retention, create=lambda: files.create(1, number, ARN)
    )
    writer.write(b"header", [bytes(size)])
    return writer.finish(
        number=f"{number:047d}", server_ms=0, server_end_ms=1, producer_ms=0, length_ms=1,
        patch=None,
    )  # fmt: skip


def states(files: FragmentFiles) -> dict[int, FileState]:
    return {file.segment_id: file.state for file in files.of_stream(1)}


def test_files_are_known_again(tmp_path: Path) -> None:
    """By their names alone: whose, which, and where they stand; what was begun is removed."""
    files = FragmentFiles(tmp_path, max_bytes=1000)
    kept = [written(files, 1), written(files, 2, retention=BUFFER), written(files, 3)]
    copy = files.get(3)
    assert copy is not None
    files.rename(copy, FileState.COPY)
    for number in (4, 5):
        begun = FileWriter(files=files, retention=DAY, create=partial(files.create, 1, number, ARN))
        begun.write(b"header", [b"half"])
        if number == 5:
            begun.abandon()
    found = list(FragmentFiles(tmp_path, max_bytes=1000).scan())
    assert [(arn, f.number, state) for arn, f, state, _ in found] == [
        (ARN, kept[0].number, FileState.WAITING),
        (ARN, kept[1].number, FileState.LOCAL),
        (ARN, kept[2].number, FileState.COPY),
    ]
    assert sorted(path.suffix for path in tmp_path.rglob("*.*")) == [".copy", ".local", ".waiting"]


def test_room_is_made_by_what_was_used_longest_ago(tmp_path: Path) -> None:
    """Copies first, then buffers; what waits never."""
    files = FragmentFiles(tmp_path, max_bytes=80)
    for number in (1, 2, 3):
        written(files, number, retention=BUFFER if number == 3 else DAY)
    for number in (1, 2):
        file = files.get(number)
        assert file is not None
        files.rename(file, FileState.COPY)
    files.get(1)
    for number in (4, 5):
        written(files, number)
    assert sorted(states(files)) == [1, 2, 3, 4, 5]
    file = files.create(1, 6, ARN)
    files.reserve(file, 6)
    assert sorted(states(files)) == [1, 3, 4, 5, 6]
    files.remove(file)
    written(files, 6, size=20)
    assert sorted(states(files)) == [3, 4, 5, 6]
    written(files, 7)
    assert sorted(states(files)) == [4, 5, 6, 7]
    with pytest.raises(ArchiveError, match="74 bytes wait for S3"):
        written(files, 8)
    assert files.total_bytes <= 80


def test_a_disk_without_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the system's words; the file is nobody's any more."""
    files = FragmentFiles(tmp_path, max_bytes=1000)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = FileWriter(files=files, retention=DAY, create=lambda: files.create(1, 1, ARN))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(ArchiveError, match="No space left on device"):
            writer.write(b"header", [b"data"])
    writer.abandon()
    assert states(files) == {1: FileState.DEAD}
    assert [file.segment_id for file in files.evict(1 << 60, (FileState.DEAD,))] == [1]
    assert files.total_bytes == 0


def test_a_copy_is_kept_once(tmp_path: Path) -> None:
    """What is known already is not counted again."""
    files = FragmentFiles(tmp_path / "a", max_bytes=1000)
    fragment = written(files, 1)
    others = FragmentFiles(tmp_path / "b", max_bytes=20)
    for _ in range(2):
        others.keep_copy(ARN, fragment, bytes(16))
    assert others.total_bytes == 16
    (path,) = (tmp_path / "b").rglob("*.copy")
    assert path.name == fragment_name(fragment) + ".copy"
    tight = FragmentFiles(tmp_path / "c", max_bytes=10)
    tight.keep_copy(ARN, fragment, bytes(16))
    assert tight.total_bytes == 0
