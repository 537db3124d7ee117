"""The user's photograph."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from streamd.demo.errors import DemoError
from streamd.demo.photo import MAX_BYTES, read_photo


def test_jpeg_and_png_go_as_they_are(tmp_path: Path) -> None:
    """Bytes that IndexFaces takes are not touched."""
    for name in ("a.jpg", "a.png"):
        path = tmp_path / name
        Image.new("RGB", (60, 40), (9, 9, 9)).save(path)
        assert read_photo(path) == path.read_bytes()


def test_other_formats_become_jpeg(tmp_path: Path) -> None:
    """WebP of a phone is encoded again, and not larger than needed."""
    path = tmp_path / "a.webp"
    Image.new("RGB", (4000, 3000), (9, 9, 9)).save(path)
    data = read_photo(path)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (1920, 1440))
    assert len(data) < MAX_BYTES


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"no image", "is not an image")]
)
def test_bad_photographs(tmp_path: Path, content: bytes | None, message: str) -> None:
    """Missing and unreadable files are one error."""
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DemoError, match=message):
        read_photo(path)
