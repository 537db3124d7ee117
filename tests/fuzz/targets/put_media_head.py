"""Headers of PutMedia requests: a stream and an origin of times, or InvalidArgument."""

from __future__ import annotations

from collections.abc import Iterator

from multidict import CIMultiDict

from streamd.gateway.put_media_head import (
    ACK_REQUIRED,
    START_TIMESTAMP,
    STREAM_ARN,
    STREAM_NAME,
    TIMECODE_TYPE,
    read_head,
)
from streamd.protocol.errors import ServiceError
from tests.fuzz.target import holds

NAMES = (STREAM_NAME, STREAM_ARN, TIMECODE_TYPE, START_TIMESTAMP)
NOW_MS = 1_700_000_000_000
END_OF_TIME_MS = 253_402_300_800_000


def run(data: bytes) -> None:
    """A value a line, in the order of ``NAMES``; an empty line leaves the header out."""
    values = data.decode("utf-8", "surrogateescape").split("\n")
    headers = CIMultiDict(
        (name, value) for name, value in zip(NAMES, values, strict=False) if value
    )
    if len(values) > len(NAMES):
        headers[ACK_REQUIRED] = values[len(NAMES)]
    try:
        head = read_head(headers, now_ms=NOW_MS)
    except ServiceError as error:
        holds(error.code == "InvalidArgumentException", error)
        return
    assert 0 <= head.origin_ms < END_OF_TIME_MS
    (value,) = head.stream.values()
    assert value.isascii()


def seeds() -> Iterator[bytes]:
    """Yield what producers send."""
    arn = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1700000000000"
    for lines in (
        ("door", "", "ABSOLUTE", "1700000000.123"),
        ("", arn, "RELATIVE", "1.7E9"),
        ("door", "", "RELATIVE", "1700000000.7", "1"),
        ("door", "", "RELATIVE", "0"),
        ("door", "", "RELATIVE", "NaN"),
        ("door", "", "RELATIVE", "1e400"),
    ):
        yield "\n".join(lines).encode()
