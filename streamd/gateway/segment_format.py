"""What stands in a segment file beside media, so that the index can be made from files. Pure.

A segment begins with a preamble: whose it is, and a random mark. Behind every fragment stands
a record: the mark, what the index knows of the fragment, and a checksum. A record ends right
behind its fragment's bytes, and nobody outside can know the mark, so media that holds bytes
like a record is not taken for one. What has no record was never complete.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from streamd.gateway.archive import Place, StoredFragment
from streamd.kvs.numbers import DIGITS

__all__ = ["RECORD_BYTES", "Preamble", "new_preamble", "read_preamble", "record", "records"]

_MAGIC: Final = b"streamd segment 1\n"
_MARK_BYTES: Final = 16
_HEAD: Final = struct.Struct(f">{_MARK_BYTES}sH")
_CRC: Final = struct.Struct(">I")
_BODY: Final = struct.Struct(">20sqqqqQQIQII")
"""Number; times; where fragment and header lie, with their checksums."""
RECORD_BYTES: Final = _MARK_BYTES + _BODY.size + _CRC.size
MAX_PREAMBLE_BYTES: Final = len(_MAGIC) + _HEAD.size + 65535 + _CRC.size


@dataclass(frozen=True, slots=True)
class Preamble:
    """The beginning of a segment."""

    arn: str
    """Of the stream it belongs to."""
    mark: bytes
    """What its records begin with."""

    def to_bytes(self) -> bytes:
        """Return it as it stands in the file."""
        arn = self.arn.encode()
        data = _MAGIC + _HEAD.pack(self.mark, len(arn)) + arn
        return data + _CRC.pack(zlib.crc32(data))


def new_preamble(arn: str) -> Preamble:
    """Return the preamble of a new segment of a stream."""
    return Preamble(arn, secrets.token_bytes(_MARK_BYTES))


def read_preamble(data: bytes | mmap) -> Preamble | None:
    """Return what a segment begins with; ``None`` where it is damaged or older than preambles."""
    begin = len(_MAGIC)
    if data[:begin] != _MAGIC or len(data) < begin + _HEAD.size:
        return None
    mark, size = _HEAD.unpack(data[begin : begin + _HEAD.size])
    end = begin + _HEAD.size + size
    crc = data[end : end + _CRC.size]
    if len(crc) < _CRC.size or _CRC.unpack(crc)[0] != zlib.crc32(data[:end]):
        return None
    return Preamble(data[end - size : end].decode(), mark)


def record(fragment: StoredFragment, mark: bytes) -> bytes:
    """Return what stands behind a fragment."""
    data = mark + _BODY.pack(
        int(fragment.number).to_bytes(20),
        fragment.server_ms,
        fragment.server_end_ms,
        fragment.producer_ms,
        fragment.length_ms,
        fragment.place.offset,
        fragment.size,
        fragment.crc32,
        fragment.header_offset,
        fragment.header_size,
        fragment.header_crc32,
    )
    return data + _CRC.pack(zlib.crc32(data))


def records(
    data: bytes | mmap, preamble: Preamble, *, stream_id: int, segment_id: int
) -> Iterator[StoredFragment]:
    """Yield the fragments of a segment, in the order they were written."""
    at = data.find(preamble.mark, len(_MAGIC) + _MARK_BYTES)
    while at >= 0:
        found = _fragment(data[at : at + RECORD_BYTES], stream_id, segment_id)
        fits = found is not None and found.place.offset + found.size == at
        if found is not None and fits and found.header_offset + found.header_size <= at:
            yield found
        at = data.find(preamble.mark, at + 1)


def _fragment(data: bytes, stream_id: int, segment_id: int) -> StoredFragment | None:
    if len(data) < RECORD_BYTES:
        return None
    if _CRC.unpack(data[-_CRC.size :])[0] != zlib.crc32(data[: -_CRC.size]):
        return None
    number, *times, offset, size, crc32, header_offset, header_size, header_crc32 = _BODY.unpack(
        data[_MARK_BYTES : -_CRC.size]
    )
    server_ms, server_end_ms, producer_ms, length_ms = times
    return StoredFragment(
        number=f"{int.from_bytes(number):0{DIGITS}d}",
        server_ms=server_ms,
        server_end_ms=server_end_ms,
        producer_ms=producer_ms,
        length_ms=length_ms,
        place=Place(stream_id=stream_id, segment_id=segment_id, offset=offset),
        size=size,
        crc32=crc32,
        header_offset=header_offset,
        header_size=header_size,
        header_crc32=header_crc32,
    )
