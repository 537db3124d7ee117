"""GetMedia when a fragment or the archive fails: what the answer still tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamd.gateway.archive import StoredFragment
from streamd.gateway.errors import ArchiveError
from streamd.kvs.fragments import (
    FragmentReader,
    StreamError,
)
from tests.support.gateway import DEADLINE_SECONDS, Server
from tests.support.get_media import HEADER, archived, block, cluster, seconds


async def test_a_fragment_that_fails_ends_the_answer_between_blocks(server: Server) -> None:
    """Garbage in a fragment: who was reading it gets its whole blocks and then the end."""
    await server.create()
    async with server.put_media() as producer:
        await producer.send(HEADER + cluster(0)[:-10])
        await producer.ack("BUFFERING")
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            server.get_media(StartSelectorType="NOW") as answer,
        ):
            first = await answer.content.readany()
            await producer.send(b"v" * 10 + b"\0" * 100)
            await producer.rest()
            body = first + await answer.read()
    assert body.endswith(cluster(0)[: -len(block(750))])
    assert await server.read_media(StartSelectorType="EARLIEST") == b""


def stream_errors(body: bytes) -> list[tuple[int, str, str | None]]:
    events = FragmentReader().feed(body)
    return [
        (event.error_id, event.error_code, event.fragment_number)
        for event in events
        if isinstance(event, StreamError)
    ]


async def test_an_archive_that_cannot_be_read_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot go on ends with error tags: 5000, and the fragment it was about."""
    numbers = await archived(server, 3)
    door = server.gateway._door
    assert door is not None
    check = door.archive.check

    def broken(fragment: StoredFragment) -> bytes:
        if fragment.number == numbers[2]:
            raise ArchiveError("input/output error")
        return check(fragment)

    monkeypatch.setattr(door.archive, "check", broken)
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert seconds(body) == [0, 1]
    assert stream_errors(body) == [(5000, "INTERNAL_ERROR", numbers[2])]
    # Nothing was sent yet: the error has a document of its own.
    selector = {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": numbers[1]}
    alone = await server.read_media(**selector)
    assert stream_errors(alone) == [(5000, "INTERNAL_ERROR", numbers[2])]


async def test_inside_a_fragment_there_is_no_room_for_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fragment that cannot be read to its end is cut off: a consumer reads it again."""
    await server.create()
    await server.upload(HEADER + cluster(0, size=600_000))
    door = server.gateway._door
    assert door is not None

    def broken(*_: Any) -> bytes:
        raise ArchiveError("input/output error")

    monkeypatch.setattr(door.archive, "read", broken)
    body = await server.read_media(StartSelectorType="EARLIEST")
    assert b"ERROR_ID" not in body
    assert 500_000 < len(body) < 2_400_000
