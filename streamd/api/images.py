"""Images of requests: bytes or an S3 object, checked before anything is decoded.

Limits of *Amazon Rekognition Developer Guide*, "Guidelines and quotas": 5 MB as bytes, 15 MB
from S3, JPEG or PNG, at least 80 x 80 pixels. The orientation a JPEG's EXIF data tells is
applied; a PNG is not rotated. The format is told by the content, never by a name.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from processors.picture import ArrayPicture
from streamd.api.image_files import JPEG_MAGIC, PNG_MAGIC, UPRIGHT, bare_jpeg, bare_png
from streamd.api.refusals import (
    image_format,
    image_too_large,
    invalid_parameter,
    invalid_s3_object,
)
from streamd.aws import AwsError, ObjectTooLargeError

__all__ = ["ImageReader", "LoadedImage", "ObjectReader", "decode_image"]

logger = logging.getLogger(__name__)

MAX_BYTES = 5 * 1024 * 1024
MAX_S3_BYTES = 15 * 1024 * 1024
MIN_SIDE_PX = 80
MAX_PIXELS = 64_000_000
"""Our own bound on a decoded image: no more than 200 MB of memory for a small file."""
_COMFORTABLE_SIDE_PX = 3072
"""A JPEG of twice this size or more is decoded at a half, a quarter or an eighth."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of an EXIF orientation upright."""

RunBlocking = Callable[..., Awaitable[Any]]


class ObjectReader(Protocol):
    """Where S3 objects come from; blocking."""

    def fetch_object(
        self, bucket: str, name: str, version: str | None = None, *, max_bytes: int
    ) -> bytes:
        """Return an object's bytes, or raise :class:`~streamd.aws.AwsError`."""


@dataclass(frozen=True, kw_only=True)
class LoadedImage:
    """An image ready to be analysed."""

    picture: ArrayPicture
    digest: bytes
    """SHA-256 of the file: what makes two requests be about the same image."""


class ImageReader:
    """Turns the ``Image`` member of a request into a picture."""

    def __init__(
        self, *, objects: ObjectReader, run_blocking: RunBlocking, run_analysis: RunBlocking
    ) -> None:
        self._objects = objects
        self._run_blocking = run_blocking
        self._run_analysis = run_analysis

    async def read(
        self, image: Mapping[str, Any], *, max_side_px: int | None = None
    ) -> LoadedImage:
        """Return the image of a request.

        Args:
            image: The request's member.
            max_side_px: The operation's own bound on each side, where it has one.

        Raises:
            ServiceError: If there is none, it cannot be read, or it is too large or small.

        """
        data, s3_object = image.get("Bytes"), image.get("S3Object")
        if (data is None) == (s3_object is None):
            raise invalid_parameter("Image needs exactly one of Bytes and S3Object.")
        if data is None:
            data = await self._fetch(s3_object)
        elif len(data) > MAX_BYTES:
            raise image_too_large(f"{len(data)} bytes are more than {MAX_BYTES}.")
        loaded: LoadedImage = await self._run_analysis(_load, data, max_side_px)
        return loaded

    async def _fetch(self, s3_object: Any) -> bytes:
        bucket, name = s3_object.get("Bucket"), s3_object.get("Name")
        if not bucket or not name:
            raise invalid_parameter("Image.S3Object needs Bucket and Name.")
        fetch = functools.partial(self._objects.fetch_object, max_bytes=MAX_S3_BYTES)
        try:
            data: bytes = await self._run_blocking(fetch, bucket, name, s3_object.get("Version"))
        except ObjectTooLargeError as error:
            raise image_too_large(f"the object has more than {MAX_S3_BYTES} bytes.") from error
        except AwsError as error:
            logger.warning(
                "image cannot be read from S3: %s", error, extra={"bucket": bucket, "key": name}
            )
            raise invalid_s3_object() from error
        return data


def decode_image(data: bytes, *, max_side_px: int | None = None) -> ArrayPicture:
    """Return an image file's picture, upright (blocking).

    Args:
        data: The file.
        max_side_px: A bound on each side; ``None``: only the bound on all pixels.

    Raises:
        ServiceError: ``InvalidImageFormatException``, ``ImageTooLargeException``, or
            ``InvalidParameterException`` for an image of less than 80 pixels a side.

    """
    orientation = UPRIGHT
    with _pillow_errors():
        # The two classes themselves, not Image.open: no other format's parser sees these
        # bytes, and the size is judged here instead of by Pillow's warning.
        if data.startswith(JPEG_MAGIC):
            bare, orientation = bare_jpeg(data)
            image: ImageFile = JpegImageFile(io.BytesIO(bare))
        elif data.startswith(PNG_MAGIC):
            image = PngImageFile(io.BytesIO(bare_png(data)))
        else:
            raise image_format()
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise image_too_large(f"{width} x {height} pixels are more than {MAX_PIXELS}.")
    if max_side_px is not None and max(width, height) > max_side_px:
        raise image_too_large(f"{width} x {height} pixels, a side has more than {max_side_px}.")
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
        raise invalid_parameter(
            f"The image needs at least {MIN_SIDE_PX} pixels on each side, got {width} x {height}."
        )
    with _pillow_errors():
        if isinstance(image, JpegImageFile):
            image.draft("RGB", (_COMFORTABLE_SIDE_PX, _COMFORTABLE_SIDE_PX))
        rgb = _to_rgb(image)
        # Only a JPEG's orientation is applied: "PNG images are not rotated".
        if (turn := _TURNS.get(orientation)) is not None:
            rgb = rgb.transpose(turn)
        return ArrayPicture(np.asarray(rgb, dtype=np.uint8))


def _load(data: bytes, max_side_px: int | None) -> LoadedImage:
    picture = decode_image(data, max_side_px=max_side_px)
    return LoadedImage(picture=picture, digest=hashlib.sha256(data).digest())


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits a pixel: Pillow would clip instead of scale.
        levels = np.asarray(image).astype(np.uint32) >> 8
        return Image.fromarray(np.minimum(levels, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Map what Pillow raises on damaged files, which is many kinds of error, to AWS's."""
    try:
        yield
    except Image.DecompressionBombError:
        raise image_too_large("too many pixels.") from None
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        OSError,
        SyntaxError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise image_format("the file is damaged or not a JPEG or PNG image.") from error
