"""Facts about what of an image file reaches the decoder."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from streamd.api.image_files import bare_jpeg, bare_png


def jpeg(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(orientation: int, *, endian: str = ">") -> bytes:
    mark = b"MM\x00*" if endian == ">" else b"II*\x00"
    entry = struct.pack(f"{endian}HHLHH", 0x0112, 3, 1, orientation, 0)
    tiff = mark + struct.pack(f"{endian}LH", 8, 1) + entry + b"\x00" * 4
    return b"Exif\x00\x00" + tiff


@pytest.mark.parametrize("endian", [">", "<"])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_the_orientation_is_read(orientation: int, endian: str) -> None:
    """Both byte orders are understood."""
    assert bare_jpeg(jpeg(exif=exif(orientation, endian=endian)))[1] == orientation


@pytest.mark.parametrize(
    "segment",
    [exif(0), exif(9), exif(6)[:-12], exif(6)[:12], b"Exif\x00\x00", b"Exif\x00\x00XX*\x00" + b"\xff" * 20,
     b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\xff\xff"],
    ids=range(7),
)  # fmt: skip
def test_damaged_exif_means_upright(segment: bytes) -> None:
    """An orientation that is out of range or cannot be read changes nothing."""
    assert bare_jpeg(jpeg(exif=segment))[1] == 1


def test_metadata_of_a_jpeg_is_dropped() -> None:
    """EXIF, XMP, ICC and comments go; what tells colours stays, and so do the pixels."""
    plain = jpeg()
    full = jpeg(exif=exif(6), icc_profile=b"profile", comment=b"hello", xmp=b"<xmp/>")
    bare, orientation = bare_jpeg(full)
    assert (bare, orientation) == (plain, 6)
    cmyk = io.BytesIO()
    Image.new("CMYK", (16, 16)).save(cmyk, "JPEG")
    assert b"Adobe" in bare_jpeg(cmyk.getvalue())[0]


def test_metadata_of_a_png_is_dropped() -> None:
    """Texts, profiles and animations go."""
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * 1000, zip=True)
    full, plain = io.BytesIO(), io.BytesIO()
    image = Image.new("RGB", (16, 16))
    image.save(plain, "PNG")
    image.save(full, "PNG", pnginfo=text, icc_profile=b"profile", dpi=(72, 72))
    assert bare_png(full.getvalue()) == plain.getvalue()


def test_a_text_bomb_is_never_unpacked() -> None:
    """A PNG text of 10 MB in 10 kB is dropped unread."""
    bomb = b"zTXt" + b"a\x00\x00" + zlib.compress(b"0" * 10**7)
    chunk = struct.pack(">I", len(bomb) - 4) + bomb + struct.pack(">I", zlib.crc32(bomb))
    plain = io.BytesIO()
    Image.new("RGB", (16, 16)).save(plain, "PNG")
    head, tail = plain.getvalue()[:33], plain.getvalue()[33:]
    assert bare_png(head + chunk + tail) == plain.getvalue()


@given(st.binary(max_size=300))
def test_any_bytes_pass(data: bytes) -> None:
    """No content makes either walk fail or the file longer."""
    bare, orientation = bare_jpeg(b"\xff\xd8" + data)
    assert len(bare) <= len(data) + 2
    assert 1 <= orientation <= 8
    assert len(bare_png(b"\x89PNG\r\n\x1a\n" + data)) <= len(data) + 8
