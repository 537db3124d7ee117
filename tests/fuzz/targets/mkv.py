"""The Matroska parser: nothing is lost, nothing depends on how the bytes were cut."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.kvs.mkv import Event, MkvError, MkvParser
from tests.fuzz.media import bodies
from tests.fuzz.target import pieces


def run(data: bytes) -> None:
    """The first byte says how the rest is cut."""
    if not data:
        return
    whole = _events(data[1:], 0)
    cut = _events(data[1:], data[0] or 1)
    assert whole == cut, "how the input is cut changes the events"


def _events(data: bytes, seed: int) -> tuple[list[Event], str | None]:
    parser, events, fed = MkvParser(), [], 0
    error = None
    try:
        for piece in pieces(data, seed):
            fed += len(piece)
            events += parser.feed(piece)
            raw = sum(len(event.raw) for event in events)
            assert raw + parser.buffered_bytes <= fed
            if parser.offset + len(parser._buffer) == fed:  # not after damage
                assert raw + parser.buffered_bytes == fed, "bytes are lost"
        parser.feed(b"")
        events += parser.close()
    except MkvError as caught:
        error = str(caught)
    assert data.startswith(b"".join(event.raw for event in events)), "raw is not the input"
    for event in events:
        for name in ("frames", "values"):
            getattr(event, name, None)  # lazy ones must not fail
    return events, error


def seeds() -> Iterator[bytes]:
    """Yield uploads and downloads."""
    for index, body in enumerate(bodies()):
        yield bytes([index]) + body
