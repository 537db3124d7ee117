"""The tags Kinesis Video puts around a fragment: their names and how values are spelled."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CONTINUATION_TOKEN",
    "ERROR_CODE",
    "ERROR_ID",
    "FRAGMENT_NUMBER",
    "MILLIS_BEHIND_NOW",
    "PRODUCER_TIMESTAMP",
    "SERVER_TIMESTAMP",
    "error_tags",
    "format_timestamp",
    "fragment_tags",
    "parse_timestamp",
    "trailing_tags",
]

RESERVED_PREFIX: Final = "AWS"
"""Producers' own metadata must not begin with it."""
FRAGMENT_NUMBER: Final = "AWS_KINESISVIDEO_FRAGMENT_NUMBER"
SERVER_TIMESTAMP: Final = "AWS_KINESISVIDEO_SERVER_TIMESTAMP"
PRODUCER_TIMESTAMP: Final = "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP"
MILLIS_BEHIND_NOW: Final = "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW"
CONTINUATION_TOKEN: Final = "AWS_KINESISVIDEO_CONTINUATION_TOKEN"  # noqa: S105  # a tag's name
ERROR_CODE: Final = "AWS_KINESISVIDEO_ERROR_CODE"
ERROR_ID: Final = "AWS_KINESISVIDEO_ERROR_ID"
END_OF_FRAGMENT: Final = "AWS_KINESISVIDEO_END_OF_FRAGMENT"
"""Sent by producers to close a fragment before the next cluster."""

_TIMESTAMP = re.compile(r"(\d{1,15})(?:\.(\d{1,9}))?", re.ASCII)


def format_timestamp(milliseconds: int) -> str:
    """Spell milliseconds since 1970 as the tags do: ``seconds.millis``, 3 digits."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def parse_timestamp(text: str) -> int:
    """Return milliseconds since 1970 for ``seconds[.fraction]``, rounded down.

    Raises:
        ValueError: If the text is not such a number.

    """
    match = _TIMESTAMP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a timestamp in seconds")
    seconds, fraction = match.groups()
    return int(seconds) * 1000 + int((fraction or "0").ljust(3, "0")[:3])


def fragment_tags(
    number: str, *, server_timestamp_ms: int, producer_timestamp_ms: int
) -> dict[str, str]:
    """Tags before the cluster of a fragment in a GetMedia body."""
    return {
        FRAGMENT_NUMBER: number,
        SERVER_TIMESTAMP: format_timestamp(server_timestamp_ms),
        PRODUCER_TIMESTAMP: format_timestamp(producer_timestamp_ms),
    }


def trailing_tags(number: str, *, millis_behind_now: int) -> dict[str, str]:
    """Tags after the cluster of a fragment; the continuation token is the fragment's number."""
    return {MILLIS_BEHIND_NOW: str(millis_behind_now), CONTINUATION_TOKEN: number}


def error_tags(number: str, *, error_id: int, error_code: str) -> dict[str, str]:
    """Tags of an error chunk, which ends a GetMedia body."""
    return {FRAGMENT_NUMBER: number, ERROR_CODE: error_code, ERROR_ID: str(error_id)}
