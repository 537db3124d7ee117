"""EBML: element ids, variable-length integers, and walking the children of a whole element."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final

from streamd.errors import StreamdError

__all__ = [
    "UNKNOWN_SIZE",
    "CutOffError",
    "MkvError",
    "child_spans",
    "children",
    "element",
    "element_id",
    "float_value",
    "size_bytes",
    "text_element",
    "text_value",
    "uint_element",
    "uint_value",
    "vint",
]

# Ids as RFC 9559 spells them, with their length marker.
EBML: Final = 0x1A45DFA3
EBML_VERSION: Final = 0x4286
EBML_READ_VERSION: Final = 0x42F7
EBML_MAX_ID_LENGTH: Final = 0x42F2
EBML_MAX_SIZE_LENGTH: Final = 0x42F3
DOC_TYPE: Final = 0x4282
DOC_TYPE_VERSION: Final = 0x4287
DOC_TYPE_READ_VERSION: Final = 0x4285
VOID: Final = 0xEC
CRC_32: Final = 0xBF
SEGMENT: Final = 0x18538067
SEEK_HEAD: Final = 0x114D9B74
INFO: Final = 0x1549A966
TIMECODE_SCALE: Final = 0x2AD7B1
MUXING_APP: Final = 0x4D80
WRITING_APP: Final = 0x5741
TRACKS: Final = 0x1654AE6B
TRACK_ENTRY: Final = 0xAE
TRACK_NUMBER: Final = 0xD7
TRACK_UID: Final = 0x73C5
TRACK_TYPE: Final = 0x83
TRACK_NAME: Final = 0x536E
FLAG_LACING: Final = 0x9C
CODEC_ID: Final = 0x86
CODEC_PRIVATE: Final = 0x63A2
VIDEO: Final = 0xE0
PIXEL_WIDTH: Final = 0xB0
PIXEL_HEIGHT: Final = 0xBA
AUDIO: Final = 0xE1
SAMPLING_FREQUENCY: Final = 0xB5
CHANNELS: Final = 0x9F
CONTENT_ENCODINGS: Final = 0x6D80
CONTENT_ENCODING: Final = 0x6240
CONTENT_ENCODING_SCOPE: Final = 0x5032
CONTENT_ENCODING_TYPE: Final = 0x5033
CONTENT_COMPRESSION: Final = 0x5034
CONTENT_COMP_ALGO: Final = 0x4254
CONTENT_COMP_SETTINGS: Final = 0x4255
CHAPTERS: Final = 0x1043A770
CLUSTER: Final = 0x1F43B675
TIMECODE: Final = 0xE7
SILENT_TRACKS: Final = 0x5854
POSITION: Final = 0xA7
PREV_SIZE: Final = 0xAB
SIMPLE_BLOCK: Final = 0xA3
BLOCK_GROUP: Final = 0xA0
BLOCK: Final = 0xA1
REFERENCE_BLOCK: Final = 0xFB
ENCRYPTED_BLOCK: Final = 0xAF
CUES: Final = 0x1C53BB6B
ATTACHMENTS: Final = 0x1941A469
TAGS: Final = 0x1254C367
TAG: Final = 0x7373
SIMPLE_TAG: Final = 0x67C8
TAG_NAME: Final = 0x45A3
TAG_STRING: Final = 0x4487

UNKNOWN_SIZE: Final = -1
"""Size of an element whose length is not known: all data bits of the size are 1."""

VINT_LENGTH: Final = tuple(0 if first == 0 else 9 - first.bit_length() for first in range(256))
"""Bytes of a variable-length integer by its first byte; 0 where there is none."""


class MkvError(StreamdError, ValueError):
    """Bytes are not the Matroska we accept; the message says what came where."""


class CutOffError(MkvError):
    """The input ends before what it began is complete; the bytes it had were good."""


def vint(view: memoryview, pos: int) -> tuple[int, int] | None:
    """Read an element size: ``(value or UNKNOWN_SIZE, position after it)``.

    Returns:
        ``None`` when the view ends inside the number.

    Raises:
        MkvError: If the first byte announces more than 8 bytes.

    """
    if pos >= len(view):
        return None
    first = view[pos]
    length = VINT_LENGTH[first]
    if not length:
        raise MkvError("an element size of more than 8 bytes")
    if length == 1:
        return (UNKNOWN_SIZE if first == 0xFF else first & 0x7F), pos + 1
    end = pos + length
    if end > len(view):
        return None
    marker = 1 << (7 * length)
    value = int.from_bytes(view[pos:end]) ^ marker
    return (UNKNOWN_SIZE if value == marker - 1 else value), end


def element_id(view: memoryview, pos: int) -> tuple[int, int] | None:
    """Read an element id with its marker: ``(id, position after it)``; ``None`` as :func:`vint`.

    Raises:
        MkvError: If the byte begins no id of 1 to 4 bytes.

    """
    if pos >= len(view):
        return None
    first = view[pos]
    length = VINT_LENGTH[first]
    if not 0 < length <= 4:
        raise MkvError(f"byte 0x{first:02X} where an element should begin")
    end = pos + length
    if end > len(view):
        return None
    return int.from_bytes(view[pos:end]), end


def children(payload: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield id and payload of every child of a master element; see :func:`child_spans`."""
    for identity, start, end in child_spans(payload):
        yield identity, payload[start:end]


def child_spans(payload: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield id, start and end of the payload of every child of a master that is all there.

    Raises:
        MkvError: If a child is cut off, has no known size, or is longer than its parent.

    """
    pos, end = 0, len(payload)
    while pos < end:
        identity = element_id(payload, pos)
        size = vint(payload, identity[1]) if identity else None
        if identity is None or size is None:
            raise MkvError("an element is cut off inside its parent")
        length, pos = size
        if length < 0 or length > end - pos:
            raise MkvError(
                f"element 0x{identity[0]:X} of {length if length >= 0 else 'unknown'} bytes "
                f"in {end - pos} bytes of its parent"
            )
        yield identity[0], pos, pos + length
        pos += length


def uint_value(payload: memoryview) -> int:
    """Return an unsigned integer element's value; empty is 0."""
    if len(payload) > 8:
        raise MkvError(f"an integer of {len(payload)} bytes, 8 is the most")
    return int.from_bytes(payload)


def text_value(payload: memoryview) -> str:
    """Return a string element's value without its padding.

    Raises:
        MkvError: If it is not UTF-8.

    """
    try:
        return bytes(payload).split(b"\0", 1)[0].decode()
    except UnicodeDecodeError as error:
        raise MkvError(f"a text that is not UTF-8: {error.reason}") from None


def float_value(payload: memoryview) -> float:
    """Return a float element's value; empty is 0."""
    if len(payload) not in (0, 4, 8):
        raise MkvError(f"a float of {len(payload)} bytes, 0, 4 or 8 are allowed")
    if not payload:
        return 0.0
    value = float(struct.unpack(">f" if len(payload) == 4 else ">d", payload)[0])
    if not math.isfinite(value):  # not equal to itself, so a copy would look like a change
        raise MkvError(f"a float that is {value}")
    return value


def size_bytes(value: int, length: int = 0) -> bytes:
    """Encode an element size, in ``length`` bytes where given, else in as few as it takes."""
    length = length or -(-(value + 1).bit_length() // 7)  # + 1: all ones means "unknown"
    return (value | 1 << (7 * length)).to_bytes(length)


def element(identity: int, payload: bytes, *, size_length: int = 0) -> bytes:
    """Encode one element of known size."""
    head = identity.to_bytes((identity.bit_length() + 7) // 8)
    return head + size_bytes(len(payload), size_length) + payload


def uint_element(identity: int, value: int, *, length: int = 0) -> bytes:
    """Encode an unsigned integer element, in ``length`` bytes where given."""
    return element(identity, value.to_bytes(length or max(1, (value.bit_length() + 7) // 8)))


def text_element(identity: int, text: str) -> bytes:
    """Encode a string element."""
    return element(identity, text.encode())
