"""Facts about images in requests, whatever is in the file."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from processors.geometry import WHOLE_PICTURE
from streamd.api.images import MAX_BYTES, decode_image
from streamd.protocol.errors import ServiceError


def pixels(width: int = 120, height: int = 100) -> Any:
    """Red on the left half, blue on the right."""
    array = np.zeros((height, width, 3), dtype=np.uint8)
    array[:, : width // 2, 0] = 255
    array[:, width // 2 :, 2] = 255
    return array


def encoded(format_: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(pixels())).save(buffer, format_, **options)
    return buffer.getvalue()


def corner(data: bytes) -> tuple[int, ...]:
    """Size and colour of the top left corner."""
    picture = decode_image(data)
    rgb = picture.rgb(WHOLE_PICTURE, width_px=picture.width_px, height_px=picture.height_px)
    return picture.width_px, picture.height_px, *(int(v) for v in rgb[2, 2] // 16 * 16)


def refusal(data: bytes) -> str:
    with pytest.raises(ServiceError) as caught:
        decode_image(data)
    return caught.value.code


RED, BLUE = (240, 0, 0), (0, 0, 240)


@pytest.mark.parametrize(
    "data",
    [
        encoded("PNG"),
        encoded("JPEG", quality=95),
        encoded("JPEG", quality=95, progressive=True),
        encoded("PNG", Image.fromarray(pixels()).convert("RGBA")),
        encoded("PNG", Image.fromarray(pixels()).convert("P", palette=Image.Palette.ADAPTIVE)),
    ],
    ids=["png", "jpeg", "progressive", "alpha", "palette"],
)
def test_jpeg_and_png_are_read(data: bytes) -> None:
    """Both formats come out as RGB in their own size."""
    assert corner(data) == (120, 100, *RED)


def test_other_modes_are_read() -> None:
    """Grey, 16-bit grey and CMYK pictures come out as RGB, scaled and not clipped."""
    grey = np.full((100, 100), 128, dtype=np.uint8)
    deep = np.full((100, 100), 128 << 8, dtype=np.uint16)
    white = Image.new("CMYK", (100, 100), (0, 0, 0, 0))
    assert corner(encoded("PNG", Image.fromarray(grey))) == (100, 100, 128, 128, 128)
    assert corner(encoded("PNG", Image.fromarray(deep))) == (100, 100, 128, 128, 128)
    assert corner(encoded("JPEG", white)) == (100, 100, 240, 240, 240)


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(1, (120, 100, *RED)), (2, (120, 100, *BLUE)), (3, (120, 100, *BLUE)), (4, (120, 100, *RED)),
     (5, (100, 120, *RED)), (6, (100, 120, *RED)), (7, (100, 120, *BLUE)), (8, (100, 120, *BLUE)),
     (99, (120, 100, *RED))],
)  # fmt: skip
def test_the_orientation_of_a_jpeg_is_applied(orientation: int, expected: tuple[int, ...]) -> None:
    """EXIF orientation turns and mirrors a JPEG; an unknown value does nothing."""
    data = encoded("JPEG", quality=95, subsampling=0, exif=with_orientation(orientation))
    assert corner(data) == expected


def test_a_png_is_not_rotated() -> None:
    """EXIF orientation of a PNG is ignored, as documented."""
    assert corner(encoded("PNG", exif=with_orientation(6))) == (120, 100, *RED)


def test_a_large_jpeg_is_read_smaller() -> None:
    """A JPEG of many pixels is decoded at a fraction; boxes are ratios anyway."""
    data = encoded("JPEG", Image.new("RGB", (7000, 6200), (255, 0, 0)))
    assert corner(data) == (3500, 3100, *RED)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_are_refused(format_: str) -> None:
    """Only JPEG and PNG are images here."""
    assert refusal(encoded(format_)) == "InvalidImageFormatException"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"not an image", "InvalidImageFormatException"),
        (b"\xff\xd8\xff", "InvalidImageFormatException"),
        (b"\xff\xd8\xff" + b"\x00" * 1000, "InvalidImageFormatException"),
        (b"\x89PNG\r\n\x1a\n", "InvalidImageFormatException"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "InvalidImageFormatException"),
        (encoded("JPEG")[:700], "InvalidImageFormatException"),
        (encoded("PNG")[:-80], "InvalidImageFormatException"),
        (png(100, 100), "InvalidImageFormatException"),
        (png(100, 100, chunk(b"IDAT", zlib.compress(b"\x00" * 10))), "InvalidImageFormatException"),
        (png(0, 0), "InvalidImageFormatException"),
        (png(2**31 - 1, 2**31 - 1), "ImageTooLargeException"),
        (png(30_000, 30_000, chunk(b"IDAT", b"x")), "ImageTooLargeException"),
        (encoded("PNG", Image.new("RGB", (79, 200))), "InvalidParameterException"),
        (encoded("JPEG", Image.new("RGB", (200, 79))), "InvalidParameterException"),
    ],
    ids=["text", "magic", "zeros", "png magic", "png garbage", "cut jpeg", "cut png", "no data",
         "short data", "no size", "huge", "lying header", "narrow", "low"],
)  # fmt: skip
def test_images_that_are_refused(data: bytes, code: str) -> None:
    """Broken, lying, huge and tiny images have AWS's error each, before memory is spent."""
    assert refusal(data) == code


def test_a_compression_bomb_stays_within_its_size() -> None:
    """A PNG whose data goes on for 60 MB is read no further than its header says."""
    bomb = zlib.compress(b"\x00" * (60 * 1024 * 1024), 9)
    assert len(bomb) < MAX_BYTES
    picture = decode_image(png(100, 100, chunk(b"IDAT", bomb)))
    assert (picture.width_px, picture.height_px) == (100, 100)


def test_eighty_pixels_are_enough() -> None:
    """The smallest image is 80 by 80."""
    assert corner(encoded("PNG", Image.new("RGB", (80, 80), (255, 0, 0)))) == (80, 80, *RED)


_JPEG, _PNG = encoded("JPEG", exif=with_orientation(6)), encoded("PNG")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([_JPEG, _PNG]), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)),
                                                min_size=1, max_size=20))  # fmt: skip
def test_damaged_files_are_read_or_refused(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Whatever byte is wrong, the answer is a picture or AWS's error."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        picture = decode_image(bytes(damaged))
    except ServiceError:
        return
    assert picture.width_px >= 80
