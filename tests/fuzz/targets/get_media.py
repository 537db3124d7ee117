"""GetMedia bodies of a service we do not control: fragments in order, or MkvError."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentEvent,
    FragmentReader,
    FragmentStarted,
    Packet,
    StreamError,
)
from streamd.kvs.mkv import MkvError
from tests.fuzz.media import bodies
from tests.fuzz.target import pieces


def run(data: bytes) -> None:
    """The first byte says how the rest is cut."""
    if not data:
        return
    whole = _events(data[1:], 0)
    assert whole == _events(data[1:], data[0] or 1), "how the input is cut changes the events"
    _check_order(whole[0])


def _events(data: bytes, seed: int) -> tuple[list[FragmentEvent], str | None]:
    reader, events = FragmentReader(), []
    try:
        for piece in pieces(data, seed):
            events += reader.feed(piece)
        events += reader.feed(b"")
        reader.close()
    except MkvError as error:
        return events, str(error)
    return events, None


def _check_order(events: list[FragmentEvent]) -> None:
    current = None
    for event in events:
        match event:
            case FragmentStarted():
                assert current is None, "a fragment begins inside another"
                current = event.fragment
            case Packet():
                assert event.fragment is current, "a packet outside its fragment"
                assert isinstance(event.offset_ms, int)
            case FragmentEnded():
                assert event.fragment is current, "the end of another fragment"
                current = None
            case StreamError():
                current = None


def seeds() -> Iterator[bytes]:
    """Yield uploads and downloads."""
    for index, body in enumerate(bodies()):
        yield bytes([index]) + body
