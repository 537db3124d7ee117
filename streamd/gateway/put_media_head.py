"""The headers of a PutMedia request: which stream, and what its timecodes count from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from streamd.protocol.errors import ServiceError

__all__ = [
    "ACK_REQUIRED",
    "START_TIMESTAMP",
    "STREAM_ARN",
    "STREAM_NAME",
    "TIMECODE_TYPE",
    "PutMediaHead",
    "read_head",
]

STREAM_NAME: Final = "x-amzn-stream-name"
STREAM_ARN: Final = "x-amzn-stream-arn"
TIMECODE_TYPE: Final = "x-amzn-fragment-timecode-type"
START_TIMESTAMP: Final = "x-amzn-producer-start-timestamp"
ACK_REQUIRED: Final = "x-amzn-fragment-acknowledgment-required"
"""Sent by the C and C++ producers alone; whatever it says, fragments are acknowledged."""

# "PutMedia", API reference: the members' constraints.
_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,256}", re.ASCII)
_ARN: Final = re.compile(
    r"arn:[a-z\d-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+", re.ASCII
)
_MAX_ARN_CHARACTERS: Final = 1024
_SECONDS: Final = re.compile(r"\d{1,15}(?:\.\d{0,12})?(?:[eE]\+?\d{1,2})?", re.ASCII)
"""Java writes ``1.7000000001E9``."""
_ISO_8601: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
"""AWS SDK for Java 1 writes ``2023-11-14T22:13:20.001Z``."""
_UNPADDED: Final = re.compile(r"(\d+)\.(\d{1,2})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME_SECONDS: Final = 253_402_300_800


@dataclass(frozen=True, kw_only=True, slots=True)
class PutMediaHead:
    """What the headers say."""

    stream: dict[str, str]
    """StreamName or StreamARN."""
    origin_ms: int
    """What timecodes are relative to, milliseconds since 1970; 0 for ABSOLUTE ones."""


def read_head(headers: Mapping[str, str], *, now_ms: int) -> PutMediaHead:
    """Check the headers of a PutMedia request, whose names' case does not matter.

    Raises:
        ServiceError: ``InvalidArgumentException``.

    """
    kind = headers.get(TIMECODE_TYPE, "")
    stream = _stream(headers.get(STREAM_NAME), headers.get(STREAM_ARN))
    if kind not in ("ABSOLUTE", "RELATIVE"):
        raise _invalid(f"{TIMECODE_TYPE} must be ABSOLUTE or RELATIVE.")
    text = headers.get(START_TIMESTAMP)
    # A RELATIVE session without a start is taken to begin now.
    start_ms = now_ms if text is None else _start_ms(text, is_c=ACK_REQUIRED in headers)
    return PutMediaHead(stream=stream, origin_ms=0 if kind == "ABSOLUTE" else start_ms)


def _stream(name: str | None, arn: str | None) -> dict[str, str]:
    if (not name) == (not arn):
        raise _invalid(f"Exactly one of {STREAM_NAME} and {STREAM_ARN} must be specified.")
    if name:
        if _NAME.fullmatch(name) is None:
            raise _invalid(f"{STREAM_NAME} must match {_NAME.pattern}.")
        return {"StreamName": name}
    assert arn is not None, "one of the two is there"
    if len(arn) > _MAX_ARN_CHARACTERS or _ARN.fullmatch(arn) is None:
        raise _invalid(f"{STREAM_ARN} must match {_ARN.pattern}.")
    return {"StreamARN": arn}


def _start_ms(text: str, *, is_c: bool) -> int:
    """Return milliseconds since 1970.

    The C and C++ producers print seconds, a point and the milliseconds without padding:
    ``1700000000.7`` of theirs is 7 ms, of everybody else's 700 ms.
    """
    text = text.strip()
    if _ISO_8601.fullmatch(text):
        return _ms_of_date(text)
    if is_c and (parts := _UNPADDED.fullmatch(text)):
        text = f"{parts[1]}.{parts[2]:0>3}"
    if _SECONDS.fullmatch(text) is None:
        raise _invalid(f"{START_TIMESTAMP} is not a number of seconds.")
    seconds = Decimal(text)  # not a float: milliseconds must survive
    if seconds >= _END_OF_TIME_SECONDS:
        raise _invalid(f"{START_TIMESTAMP} is out of range.")
    return int(seconds * 1000)


def _ms_of_date(text: str) -> int:
    try:
        since = datetime.fromisoformat(text) - _EPOCH
    except ValueError:
        raise _invalid(f"{START_TIMESTAMP} is not a date.") from None
    if since < timedelta(0):
        raise _invalid(f"{START_TIMESTAMP} is out of range.")
    return since // timedelta(milliseconds=1)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
