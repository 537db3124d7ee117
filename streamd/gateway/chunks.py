"""What stands around a fragment in a GetMedia body, and in GetMediaForFragmentList's. Pure."""

from __future__ import annotations

from typing import Final

from streamd.kvs import mkv_write, tags

__all__ = [
    "FRAGMENT_NOT_FOUND",
    "INTERNAL_ERROR",
    "chunk_head",
    "chunk_tail",
    "error_tags",
    "exception_tags",
    "listed_chunk_head",
]

FRAGMENT_NOT_FOUND: Final = 4000
INTERNAL_ERROR: Final = 5000
"""Ids in error tags (API reference, GetMedia)."""
_ERROR_CODES: Final = {
    FRAGMENT_NOT_FOUND: "FRAGMENT_NOT_FOUND",
    INTERNAL_ERROR: "INTERNAL_ERROR",
}

# GetMediaForFragmentList documents other names for the times than GetMedia; consumers look
# for GetMedia's, so both are there.
_SERVER_SIDE_TIMESTAMP: Final = "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP"
_PRODUCER_SIDE_TIMESTAMP: Final = "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP"
_EXCEPTION_ERROR_CODE: Final = "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE"
_EXCEPTION_MESSAGE: Final = "AWS_KINESISVIDEO_EXCEPTION_MESSAGE"


def chunk_head(header: bytes, *, number: str, server_ms: int, producer_ms: int) -> bytes:
    """Return what stands before the cluster: the producer's header and the fragment's tags."""
    values = tags.fragment_tags(
        number, server_timestamp_ms=server_ms, producer_timestamp_ms=producer_ms
    )
    return header + mkv_write.tags(values)


def chunk_tail(number: str, *, millis_behind_now: int) -> bytes:
    """Return what stands after the cluster and the producer's metadata."""
    return mkv_write.tags(tags.trailing_tags(number, millis_behind_now=millis_behind_now))


def listed_chunk_head(header: bytes, *, number: str, server_ms: int, producer_ms: int) -> bytes:
    """Return :func:`chunk_head` with the names GetMediaForFragmentList documents as well."""
    values = tags.fragment_tags(
        number, server_timestamp_ms=server_ms, producer_timestamp_ms=producer_ms
    )
    values[_SERVER_SIDE_TIMESTAMP] = tags.format_timestamp(server_ms)
    values[_PRODUCER_SIDE_TIMESTAMP] = tags.format_timestamp(producer_ms)
    return header + mkv_write.tags(values)


def error_tags(number: str | None, *, code: int) -> bytes:
    """Return the tags that end a GetMedia body early; ``number`` of the last fragment, if any."""
    values = tags.error_tags(number or "", error_id=code, error_code=_ERROR_CODES[code])
    if number is None:
        del values[tags.FRAGMENT_NUMBER]
    return mkv_write.tags(values)


def exception_tags(number: str, *, code: int, message: str) -> bytes:
    """Return the tags that end a GetMediaForFragmentList body early."""
    return mkv_write.tags(
        {
            tags.FRAGMENT_NUMBER: number,
            _EXCEPTION_ERROR_CODE: str(code),
            _EXCEPTION_MESSAGE: message,
        }
    )
