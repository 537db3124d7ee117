"""Images of requests: a picture, or one of AWS's three refusals."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from streamd.api.images import decode_image
from streamd.protocol.errors import ServiceError
from tests.fuzz.target import holds

CODES = {"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"}


def run(data: bytes) -> None:
    """The whole input is the file."""
    try:
        picture = decode_image(data)
    except ServiceError as error:
        holds(error.code in CODES, error)
        return
    assert picture.width_px >= 80
    assert picture.height_px >= 80
    assert picture.width_px * picture.height_px <= 64_000_000


def seeds() -> Iterator[bytes]:
    """Yield small images of every kind that is read, turned and not."""
    for mode in ("RGB", "L", "CMYK"):
        yield _file(mode, "JPEG", quality=20)
    yield _file("RGB", "JPEG", quality=20, progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield _file("RGB", "JPEG", quality=20, exif=exif)
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        yield _file(mode, "PNG")
    yield _file("RGB", "PNG", exif=exif)


def _file(mode: str, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    Image.new(mode, (81, 80), 0).save(target, kind, **options)
    return target.getvalue()
