"""Uploads: cut into fragments that our own consumer can read, or refused with an ErrorId."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.gateway.chunks import chunk_head, chunk_tail
from streamd.gateway.errors import MediaFaultError
from streamd.gateway.fragmenter import Closed, Fragmenter, Opened, Part, Step
from streamd.kvs.acks import ErrorCode
from streamd.kvs.fragments import FragmentEnded, FragmentReader, FragmentStarted, Packet
from streamd.kvs.numbers import new_number
from tests.fuzz.media import bodies
from tests.fuzz.target import pieces

NUMBER = new_number(None, server_timestamp_ms=1_700_000_000_000)


def run(data: bytes) -> None:
    """The first byte says how the upload is cut, the second how it ends."""
    if len(data) < 2:
        return
    cut = bool(data[1] & 1)
    origin_ms = 0 if data[1] & 2 else 1_700_000_000_000
    whole = _steps(data[2:], 0, cut=cut, origin_ms=origin_ms)
    assert whole == _steps(data[2:], data[0] or 1, cut=cut, origin_ms=origin_ms)
    for opened, raw in _fragments(whole[0]):
        _check_readable(opened, raw)


def _steps(
    data: bytes, seed: int, *, cut: bool, origin_ms: int
) -> tuple[list[Step], ErrorCode | None]:
    fragmenter, steps = Fragmenter(origin_ms=origin_ms), []
    try:
        for piece in pieces(data, seed):
            for step in fragmenter.feed(piece):
                steps.append(step)  # noqa: PERF402  # those before a fault count
        for step in fragmenter.end(cut=cut):
            steps.append(step)  # noqa: PERF402  # those before a fault count
    except MediaFaultError as fault:
        return steps, fault.code
    return steps, None


def _fragments(steps: list[Step]) -> Iterator[tuple[Opened, bytes]]:
    opened: Opened | None = None
    raw = bytearray()
    for step in steps:
        match step:
            case Opened():
                assert opened is None, "a fragment begins inside another"
                opened, raw = step, bytearray()
            case Part():
                assert opened is not None, "a part of no fragment"
                raw += step.raw
            case Closed():
                assert opened is not None, "the end of no fragment"
                assert step.length_ms > 0
                if step.patch is not None:
                    at, data = step.patch
                    raw[at : at + len(data)] = data
                yield opened, bytes(raw)
                opened = None


def _check_readable(opened: Opened, raw: bytes) -> None:
    """What was accepted is what a consumer gets: one fragment, whole, with our tags."""
    head = chunk_head(
        opened.header, number=NUMBER, server_ms=1, producer_ms=max(0, opened.producer_ms)
    )
    reader = FragmentReader()
    events = reader.feed(head + raw + chunk_tail(NUMBER, millis_behind_now=7))
    reader.close()
    first, last = events[0], events[-1]
    assert isinstance(first, FragmentStarted)
    assert first.fragment.number == NUMBER
    assert first.fragment.producer_timestamp_ms == opened.producer_ms
    assert isinstance(last, FragmentEnded)
    assert (last.continuation_token, last.millis_behind_now) == (NUMBER, 7)
    assert all(isinstance(event, Packet) for event in events[1:-1])


def seeds() -> Iterator[bytes]:
    """Yield uploads and downloads, ended in each way."""
    for index, body in enumerate(bodies()):
        yield bytes([index, index % 4]) + body
