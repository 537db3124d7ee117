"""How a fragment is called in S3: its object's key tells all that the index knows of it. Pure.

::

    PREFIX us-east-1/000000000000/door-1700000000000/ NUMBER_SERVER_LAST_PRODUCER_LENGTH_HEADER_SIZE_CRC_CRC.mkv

So a listing of a stream, which S3 gives in the order of keys, is a listing of its fragments in
the order of their numbers. The object is the document header and the fragment: a file that
every player takes. Objects with other names are nobody's business.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from streamd.gateway.archive import Place, StoredFragment
from streamd.kvs.numbers import DIGITS, new_number

__all__ = ["fragment_name", "name_at", "read_name", "stream_prefix"]

LONGEST_NAME: Final = 200
"""Of a stream as it stands: some stores keep parts of a key as file names of up to 255 bytes."""
_NAME: Final = re.compile(
    rf"(\d{{{DIGITS}}})_(-?\d+)_(\d+)_(-?\d+)_(\d+)_(\d+)_(\d+)_([0-9a-f]{{8}})_([0-9a-f]{{8}})\.mkv",
    re.ASCII,
)


def stream_prefix(arn: str) -> str:
    """Return what the keys of a stream's fragments begin with, behind the bucket's prefix.

    Args:
        arn: ``arn:aws:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATION_MS``.

    """
    region, account_id, resource = arn.split(":", 5)[3:]
    _, name, created = resource.split("/")
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()
        name = f"{name[: LONGEST_NAME - 33]}~{digest[:32]}"
    return f"{region}/{account_id}/{name}-{created}/"


def fragment_name(fragment: StoredFragment) -> str:
    """Return the last part of a fragment's key."""
    parts = (
        fragment.number,
        fragment.server_ms,
        fragment.server_end_ms - fragment.server_ms,
        fragment.producer_ms,
        fragment.length_ms,
        fragment.header_size,
        fragment.size,
        f"{fragment.header_crc32:08x}",
        f"{fragment.crc32:08x}",
    )
    return "_".join(str(part) for part in parts) + ".mkv"


def read_name(name: str, *, stream_id: int, segment_id: int = 0) -> StoredFragment | None:
    """Return the fragment a name tells of, ``None`` where it is no fragment's.

    Args:
        name: Last part of a key.
        stream_id: The archive's number of its stream.
        segment_id: The archive's number of its object.

    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number, *values, header_crc32, crc32 = match.groups()
    server_ms, lasted_ms, producer_ms, length_ms, header_size, size = map(int, values)
    return StoredFragment(
        number=number,
        server_ms=server_ms,
        server_end_ms=server_ms + lasted_ms,
        producer_ms=producer_ms,
        length_ms=length_ms,
        place=Place(stream_id=stream_id, segment_id=segment_id, offset=header_size),
        size=size,
        crc32=int(crc32, 16),
        header_offset=0,
        header_size=header_size,
        header_crc32=int(header_crc32, 16),
    )


def name_at(server_ms: int) -> str:
    """Return a name that stands before those of all fragments that arrive from this time on."""
    return new_number(None, server_timestamp_ms=max(0, server_ms))
