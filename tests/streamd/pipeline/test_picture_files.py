"""Files of a picture and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.pipeline.picture_files import picture_key, read_head, read_picture, write_picture


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Head and picture come back, whatever bytes the picture has; the file is its user's alone."""
    path = tmp_path / "new" / "a.frame"
    write_picture(path, {"Name": "zoë\n"}, b"\n\xff\xd8\n\n")
    found = read_picture(path)
    assert found is not None
    assert (found.head, found.jpeg) == ({"Name": "zoë\n"}, b"\n\xff\xd8\n\n")
    assert read_head(path) == {"Name": "zoë\n"}
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == ["a.frame"]


@pytest.mark.parametrize("content", [None, b"", b"no json\nJPEG", b"[1]\nJPEG", b"\xff\xfe\n"])
def test_what_is_no_such_file_is_none(tmp_path: Path, content: bytes | None) -> None:
    """A missing, torn or foreign file is as if there were none."""
    path = tmp_path / "a.frame"
    if content is not None:
        path.write_bytes(content)
    assert read_picture(path) is None
    assert read_head(path) is None


def test_a_write_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Where the file cannot be replaced the partial one is taken away."""
    (tmp_path / "a.frame").mkdir()
    with pytest.raises(IsADirectoryError):
        write_picture(tmp_path / "a.frame", {}, b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["a.frame"]


@pytest.mark.parametrize("name", ["..", ".", "-", "a.frame", "x" * 128])
def test_every_name_of_a_stream_processor_is_a_safe_file_name(name: str) -> None:
    """A key begins with the account and holds no separator, so it names nothing else."""
    key = picture_key("000000000000", name, created_ms=1)
    assert key == f"000000000000-1-{name}"
    assert Path(key).name == key
