"""Reading on: one answer of GetMedia after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import pytest

from streamd.pipeline.errors import SessionFailedError
from streamd.pipeline.reading import read_on
from streamd.pipeline.source import MediaSource, Opened, ReadEnded, SourceEvent


class Answers:
    """Answers so many times, then says that the stream is gone."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def read(self) -> AsyncGenerator[Sequence[SourceEvent]]:
        """See :meth:`MediaSource.read`."""
        if not self.left:
            raise SessionFailedError("Stream cam doesn't exist")
        self.left -= 1
        yield [Opened()]
        yield [ReadEnded(fragments=1)]


async def _read_all(source: Answers, seen: list[str]) -> None:
    async with asyncio.timeout(20):
        async for events in read_on(cast(MediaSource, source)):
            seen += [type(event).__name__ for event in events]


async def test_an_answer_that_ends_is_followed_by_the_next() -> None:
    """The end of an answer is no end of the stream; a stream that is gone is."""
    seen: list[str] = []
    with pytest.raises(SessionFailedError):
        await _read_all(Answers(3), seen)
    assert seen == ["Opened", "ReadEnded"] * 3
