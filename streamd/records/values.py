"""How values become JSON: times, ratios, percentages, and ids that repeat with what they name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from processors.geometry import Box

__all__ = [
    "Document",
    "FramePosition",
    "encode",
    "epoch_seconds",
    "event_id",
    "offset_milliseconds",
    "offset_seconds",
    "percent",
    "ratio",
    "upper_box",
]

Document = dict[str, object]
"""One JSON object, keys in the order they are written."""

_NAMESPACE = uuid.UUID("5c1d4b5e-3f0a-5c63-9f2e-1f6b0f8a7d21")
_RATIO_DIGITS = 6  # a hundredth of a pixel at 8K
_PERCENT_DIGITS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePosition:
    """Where a frame lies in its video stream; all numbers are integers, so nothing is rounded."""

    fragment_number: str
    server_timestamp_ms: int
    """When the video service received the fragment, milliseconds since 1970."""
    producer_timestamp_ms: int
    """The producer's time of the fragment (not of the frame), milliseconds since 1970."""
    frame_offset_ns: int
    """From the start of the fragment to the frame: block time minus cluster time."""

    @property
    def media_seconds(self) -> float:
        """The producer's time of the frame, seconds since 1970."""
        return self.producer_timestamp_ms / 1000 + self.frame_offset_ns / 1e9


def encode(document: Mapping[str, object]) -> bytes:
    """Return the document as compact JSON; the bytes are ASCII, hence valid UTF-8 whatever is in it.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON cannot say.

    """
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def epoch_seconds(milliseconds: int) -> float:
    """Return epoch seconds whose decimal form has exactly the milliseconds given."""
    # int / int rounds once and correctly; repr then prints the shortest decimal: sec.mmm.
    return milliseconds / 1000


def offset_seconds(nanoseconds: int) -> float:
    """Return seconds, exact to the nanosecond in their decimal form."""
    return nanoseconds / 1_000_000_000


def offset_milliseconds(nanoseconds: int) -> int:
    """Return whole milliseconds, the nearest."""
    return (nanoseconds + 500_000) // 1_000_000


def ratio(value: float) -> float:
    """Return a ratio of the picture, or degrees, without digits that mean nothing (and no -0.0)."""
    return round(float(value), _RATIO_DIGITS) + 0.0


def percent(value: float) -> float:
    """Return a percentage within 0 to 100."""
    return round(min(100.0, max(0.0, float(value))), _PERCENT_DIGITS) + 0.0


def upper_box(box: Box) -> Document:
    """Return a BoundingBox in the key order of AWS's sample."""
    return {
        "Height": ratio(box.height),
        "Width": ratio(box.width),
        "Left": ratio(box.left),
        "Top": ratio(box.top),
    }


def event_id(*parts: object) -> str:
    """Return a UUID that is the same whenever the same thing is named, so repeats are recognisable."""
    # The separator cannot occur in ARNs, names, numbers or ids: no two lists of parts collide.
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts)))
