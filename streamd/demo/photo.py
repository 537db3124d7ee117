"""The user's photograph, as IndexFaces takes it: JPEG or PNG of at most 5 MB."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from streamd.demo.errors import DemoError

__all__ = ["read_photo"]

MAX_BYTES = 5 * 1024 * 1024
"""Image.Bytes (AWS API Reference)."""
MAX_SIDE_PX = 1920
SENT_AS_IS = ("JPEG", "PNG")


def read_photo(path: Path) -> bytes:
    """Return the photograph; other formats and larger files are encoded again.

    Raises:
        DemoError: If it is missing or not an image.

    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.format in SENT_AS_IS and len(data) <= MAX_BYTES:
                return data
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError as error:
        raise DemoError(f"{path} does not exist", hint="check the path of --face") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise DemoError(f"{path} is not an image: {error}") from error
    upright.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    target = io.BytesIO()
    upright.save(target, "JPEG", quality=92)
    return target.getvalue()
