"""Pictures, places and finds for what looks at analysed frames."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from processors.geometry import Box
from processors.picture import ArrayPicture
from streamd.pipeline.finds import Find
from streamd.records import FramePosition

__all__ = ["gray", "place", "seen", "size_of"]


def gray(width_px: int = 1920, height_px: int = 1080) -> ArrayPicture:
    """Return a picture of one colour."""
    return ArrayPicture(np.full((height_px, width_px, 3), 128, np.uint8))


def place(seconds: float, *, fragment: str = "7") -> FramePosition:
    """Return where a frame lies that was shot at a time."""
    return FramePosition(
        fragment_number=fragment,
        server_timestamp_ms=1_700_000_000_000,
        producer_timestamp_ms=round(seconds * 1000),
        frame_offset_ns=0,
    )


def seen(name: str | None = "alice", similarity: float = 90.0, box: Box | None = None) -> Find:
    """Return a face that was found; without a name it is unknown."""
    return Find(
        label="FACE",
        box=box or Box(left=0.4, top=0.3, width=0.1, height=0.2),
        confidence_percent=99.0,
        face_id=name and f"id-{name}",
        external_image_id=name,
        similarity_percent=similarity if name else None,
    )


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG."""
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return image.size
