"""NAL units of H.264 and H.265: behind start codes, or behind their lengths. Pure.

The CodecPrivate says how a stream's packets are to be read: an avcC or hvcC record means
lengths, anything else start codes. A packet alone does not tell: ``00 00 01 2C`` is the length
of a unit of 300 bytes, and a start code before a unit that begins with ``2C``. And producers
mix the two: the Kinesis Video SDK turns start codes into lengths in frames and in the
CodecPrivate by two settings, of which users find one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = [
    "NalForm",
    "are_lengths",
    "is_annexb",
    "length_prefixed",
    "length_size",
    "split_annexb",
]

_CODE: Final = b"\x00\x00\x01"
_START_CODE: Final = re.compile(re.escape(_CODE))
_START_CODES: Final = (_CODE, b"\x00" + _CODE)
_AVCC_BYTES: Final = 7
_HVCC_BYTES: Final = 23
_USUAL_LENGTH_BYTES: Final = 4


def is_annexb(data: bytes) -> bool:
    """Say whether a CodecPrivate begins with a start code, as avcC and hvcC never do."""
    return data.startswith(_START_CODES)


def split_annexb(data: bytes) -> list[bytes]:
    """Return the NAL units of a byte stream, without start codes and padding zeros."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    if not starts:
        return []
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    # "trailing_zero_8bits": a unit never ends in a zero byte (H.264 B.1, H.265 B.2).
    units = (data[a:b].rstrip(b"\x00") for a, b in zip(starts, ends, strict=True))
    return [unit for unit in units if unit]


def length_prefixed(units: list[bytes], *, size: int = _USUAL_LENGTH_BYTES) -> bytes:
    """Return NAL units behind lengths of ``size`` bytes.

    Raises:
        OverflowError: If a unit is longer than such a length can say.

    """
    return b"".join(len(unit).to_bytes(size) + unit for unit in units)


def length_size(codec: str, codec_private: bytes) -> int | None:
    """Return how many bytes an avcC (``h264``) or hvcC (``hevc``) record says a length has.

    ``None`` where the CodecPrivate is no such record: the packets have start codes.
    """
    least, at = (_AVCC_BYTES, 4) if codec == "h264" else (_HVCC_BYTES, 21)
    if len(codec_private) < least or is_annexb(codec_private):
        return None
    if codec == "h264":
        is_record = codec_private[0] == 1  # its version
    else:
        # As libav: hvcC was written with version 0 before its standard was finished.
        is_record = bool(codec_private[0] or codec_private[1] or codec_private[2] > 1)
    if not is_record:
        return None
    return (codec_private[at] & 3) + 1


def are_lengths(data: bytes, size: int) -> bool:
    """Say whether a packet is NAL units behind lengths, to its last byte."""
    pos, end = 0, len(data)
    while pos + size < end:
        pos += size + int.from_bytes(data[pos : pos + size])
    return pos == end and end > 0


class NalForm:
    """Gives the packets of one track the form its CodecPrivate says they have."""

    def __init__(self, codec: str, codec_private: bytes) -> None:
        size = length_size(codec, codec_private)
        self._wants_codes = size is None
        self._size = size or _USUAL_LENGTH_BYTES
        self._has_codes = self._wants_codes

    def fit(self, data: bytes) -> bytes:
        """Return a packet as the CodecPrivate says; the same bytes where they are so already."""
        is_known = self._look(data)
        if self._has_codes == self._wants_codes or not is_known:
            return data
        return self._lengths(data) if self._has_codes else self._codes(data)

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each NAL unit of a packet begins and ends, padding zeros included.

        Nothing is yielded of a packet that is neither form.
        """
        if not self._look(data):
            return
        position, end = 0, len(data)
        if self._has_codes:
            begin = data.find(_CODE) + len(_CODE)
            while (following := data.find(_CODE, begin)) >= 0:
                yield begin, following
                begin = following + len(_CODE)
            yield begin, end
            return
        while position < end:
            begin = position + self._size
            position = begin + int.from_bytes(data[position:begin])
            yield begin, position

    def _look(self, data: bytes) -> bool:
        """Note whether the packet has start codes; return whether it is either form at all."""
        has_codes, has_lengths = data.startswith(_START_CODES), are_lengths(data, self._size)
        if has_codes != has_lengths:
            self._has_codes = has_codes
        # Else it could be both, or is neither: as the packets before it; at first, as wanted.
        return has_codes or has_lengths

    def _lengths(self, data: bytes) -> bytes:
        units = split_annexb(data)
        if not units or len(max(units, key=len)) >> 8 * self._size:
            return data  # nothing that fits: the decoder will say that it is damaged
        return length_prefixed(units, size=self._size)

    def _codes(self, data: bytes) -> bytes:
        units, pos = [], 0
        while pos < len(data):
            end = pos + self._size + int.from_bytes(data[pos : pos + self._size])
            units.append(_START_CODES[1] + data[pos + self._size : end])
            pos = end
        return b"".join(units)
