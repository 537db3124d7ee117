"""What the head of an encoded picture says, whatever the codec. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["FEW_BYTES", "MANY_BYTES", "Heads", "PictureHead", "SliceKind", "spans_of_lengths"]

FEW_BYTES: Final = 56
"""Of a slice, enough for nearly every head."""
MANY_BYTES: Final = 4096
"""Of a slice with long tables of weights, and of a parameter set: no more is ever looked at."""


class SliceKind(enum.Enum):
    """How the blocks of a picture are predicted."""

    I = "I"  # noqa: E741  # the standards' name
    """From the picture itself."""
    P = "P"
    """From one picture each."""
    B = "B"
    """From up to two pictures each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureHead:
    """What the slice headers of one packet say."""

    kind: SliceKind
    """B if a slice is B, else P if one is P."""
    qp: float
    """Quantiser at the beginning of the first slices, on average: 0 to 51, lower with 10 bits."""
    is_entry: bool
    """An IDR picture: nothing behind it refers to, or is shown before, what is in front of it."""
    is_disposable: bool
    """No other picture refers to it: it need not be decoded if its frame is not wanted."""


class Heads(Protocol):
    """Reads the packets of one track, in decoding order; keeps its parameter sets."""

    def read(self, data: bytes) -> PictureHead:
        """Return the head of the picture in a packet.

        Raises:
            HeadError: If it cannot be read.

        """


def spans_of_lengths(data: bytes, position: int, size: int, count: int) -> Iterator[bytes]:
    """Yield ``count`` units behind lengths of ``size`` bytes; a damaged length ends it."""
    for _ in range(count):
        begin = position + size
        length = int.from_bytes(data[position:begin])
        if begin + length > len(data):
            return
        yield data[begin : begin + length]
        position = begin + length
