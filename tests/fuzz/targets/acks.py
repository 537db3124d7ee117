"""Acknowledgements of a service we do not control: read, or AckError."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.kvs.acks import AckError, Acknowledgement, AckReader, ErrorCode, EventType, to_line
from tests.fuzz.target import pieces


def run(data: bytes) -> None:
    """The first byte says how the answer is cut; what was read can be written and read again."""
    if not data:
        return
    reader, found = AckReader(), []
    try:
        for piece in pieces(data[1:], data[0]):
            found += reader.feed(piece)
        found += reader.close()
    except AckError:
        pass
    for acknowledgement in found:
        line = to_line(acknowledgement)
        if len(line) <= 1024:
            assert AckReader().feed(line) == [acknowledgement]


def seeds() -> Iterator[bytes]:
    """Yield every kind of line."""
    number = "9" * 47
    lines = [
        to_line(Acknowledgement(event_type=kind, fragment_timecode_ms=1, fragment_number=number))
        for kind in EventType
    ]
    yield b"\0" + b"".join(lines)
    yield b"\1" + to_line(Acknowledgement.error(ErrorCode.INVALID_MKV_DATA))
    yield b'\2{"Acknowledgement":{"EventType":"IDLE"}}'
