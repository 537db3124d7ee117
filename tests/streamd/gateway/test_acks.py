"""Acknowledgements reach the producer in order, and promise nothing too early."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from aiohttp import web

from streamd.gateway import acks
from streamd.gateway.acks import AckChannel
from streamd.kvs.acks import Acknowledgement, EventType


class Written:
    """Stands for the response: keeps what is written; blocks or breaks when told to."""

    def __init__(self) -> None:
        self.data = b""
        self.is_over = False
        self.is_broken = False
        self.free = asyncio.Event()
        self.free.set()
        self.begun = asyncio.Event()

    async def write(self, data: bytes) -> None:
        await self.free.wait()
        if self.is_broken:
            raise ConnectionResetError
        self.data += data
        self.begun.set()

    async def write_eof(self) -> None:
        self.is_over = True

    @property
    def types(self) -> list[str]:
        return [json.loads(line)["EventType"] for line in self.data.splitlines()]


def channel(written: Written, *, may_promise: Any = lambda: True) -> AckChannel:
    return AckChannel(cast(web.StreamResponse, written), may_promise)


def ack(event_type: EventType, number: int = 1) -> Acknowledgement:
    return Acknowledgement(
        event_type=event_type, fragment_timecode_ms=number, fragment_number=f"{number:047d}"
    )


async def test_what_was_put_is_sent_in_order_before_the_end() -> None:
    """close() leaves nothing behind."""
    written = Written()
    sent = channel(written)
    for kind in (EventType.BUFFERING, EventType.RECEIVED, EventType.PERSISTED):
        sent.put(ack(kind))
    await sent.close()
    assert written.types == ["BUFFERING", "RECEIVED", "PERSISTED"]
    assert written.is_over


async def test_promises_wait_until_they_can_be_kept() -> None:
    """While the stream's home is in doubt BUFFERING goes out, RECEIVED and PERSISTED do not."""
    written, is_sure = Written(), False
    sent = channel(written, may_promise=lambda: is_sure)
    sent.put(ack(EventType.BUFFERING))
    sent.put(ack(EventType.RECEIVED))
    async with asyncio.timeout(20):
        await written.begun.wait()
    assert written.types == ["BUFFERING"]
    is_sure = True
    await sent.close()
    assert written.types == ["BUFFERING", "RECEIVED"]


async def test_a_forsaken_producer_is_promised_nothing() -> None:
    """The stream has moved: the producer is to send again, but is told what went wrong."""
    written = Written()
    written.free.clear()
    sent = channel(written)
    sent.put(ack(EventType.RECEIVED))
    sent.put(ack(EventType.IDLE))
    sent.forsake()
    written.free.set()
    await sent.close()
    assert written.types == ["IDLE"]


async def test_a_producer_that_does_not_read_misses_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its upload goes on, and memory stays bounded."""
    monkeypatch.setattr(acks, "MAX_PENDING", 3)
    written = Written()
    sent = channel(written)
    for number in range(10):
        sent.put(ack(EventType.PERSISTED, number))
    await sent.close()
    times = [json.loads(line)["FragmentTimecode"] for line in written.data.splitlines()]
    assert times == [7, 8, 9]


async def test_a_producer_that_never_reads_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its time is up the rest is not sent."""
    monkeypatch.setattr(acks, "LAST_WORDS_SECONDS", 0.02)
    written = Written()
    written.free.clear()
    sent = channel(written)
    sent.put(ack(EventType.PERSISTED))
    async with asyncio.timeout(20):
        await sent.close()
    assert not written.is_over


async def test_a_producer_that_is_gone_is_no_error() -> None:
    """The upload notices by itself."""
    written = Written()
    written.is_broken = True
    sent = channel(written)
    sent.put(ack(EventType.PERSISTED))
    await sent.close()
    assert written.data == b""
