"""JPEG and PNG files reduced to what makes their pixels, and a JPEG's orientation.

Images come from anybody. Metadata (EXIF, XMP, ICC profiles, texts, animations) is where
decoders keep their most colourful parsers, and none of it changes what a face looks like, but
for one number: the orientation. So that number is read here, and the rest is dropped before a
decoder sees the file. A file that breaks the format is handed on as it is, from where it
breaks: the decoder is the judge of it.
"""

from __future__ import annotations

import struct

__all__ = ["JPEG_MAGIC", "PNG_MAGIC", "UPRIGHT", "bare_jpeg", "bare_png"]

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

UPRIGHT = 1
"""The orientation that changes nothing (EXIF 2.32, tag 0x0112; values are 1 to 8)."""

_APP1, _APP14, _APP15, _COMMENT = 0xE1, 0xEE, 0xEF, 0xFE
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_EXIF_MAGIC = b"Exif\x00\x00"
_ORIENTATION_TAG = 0x0112
_SHORT = 3
_MAX_IFD_ENTRIES = 1000

_PNG_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def bare_jpeg(data: bytes) -> tuple[bytes, int]:
    """Return the file without metadata, and its orientation, 1 to 8.

    Of the application segments, JFIF (APP0) and Adobe (APP14) stay: they tell how colours
    are stored.
    """
    kept = [data[:2]]
    orientation = UPRIGHT
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes
            position += 1
            continue
        if marker in {_START_OF_SCAN, _END_OF_IMAGE}:
            break
        if marker in _WITHOUT_LENGTH:
            end = position + 2
        else:
            end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position:end]
        if marker == _APP1 and segment[4:10] == _EXIF_MAGIC:
            orientation = _exif_orientation(segment[10:])
        is_metadata = _APP1 <= marker <= _APP15 or marker == _COMMENT
        if not is_metadata or marker == _APP14:
            kept.append(segment)
        position = end
    kept.append(data[position:])
    return b"".join(kept), orientation


def bare_png(data: bytes) -> bytes:
    """Return the file with its critical chunks alone."""
    kept = [PNG_MAGIC]
    position = len(PNG_MAGIC)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            break
        if data[position + 4 : position + 8] in _PNG_CRITICAL:
            kept.append(data[position:end])
        position = end
    kept.append(data[position:])
    return b"".join(kept)


def _exif_orientation(tiff: bytes) -> int:
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (offset,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        for entry in range(min(count, _MAX_IFD_ENTRIES)):
            tag, kind, values, value = struct.unpack_from(
                f"{order}HHLH", tiff, offset + 2 + 12 * entry
            )
            if (tag, kind, values) == (_ORIENTATION_TAG, _SHORT, 1):
                return int(value) if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass  # cut short: what cannot be read tells nothing
    return UPRIGHT
