"""Commits in groups: as few syncs as possible, each fragment answered for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from streamd.gateway.archive import Archive, Place, StoredFragment
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError


def fragment(number: int) -> StoredFragment:
    return StoredFragment(
        number=str(number),
        server_ms=0,
        server_end_ms=0,
        producer_ms=0,
        length_ms=0,
        place=Place(stream_id=1, segment_id=1, offset=0),
        size=0,
        crc32=0,
        header_offset=0,
        header_size=0,
        header_crc32=0,
    )


class SlowArchive:
    """Notes each commit and holds it up until the test lets it go."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[str], bool]] = []
        self.free = asyncio.Event()
        self.error: Exception | None = None
        self.persisted: dict[str, Callable[[], None]] = {}
        self.closed = 0

    def commit(self, fragments: Sequence[StoredFragment], *, durable: bool) -> None:
        self.commits.append(([found.number for found in fragments], durable))
        if self.error is not None:
            raise self.error

    def when_persisted(self, fragment: StoredFragment, call: Callable[[], None]) -> None:
        self.persisted[fragment.number] = call

    def close(self) -> None:
        self.closed += 1

    async def run(self, function: Callable[..., Any], /, *args: Any) -> Any:
        await self.free.wait()
        return function(*args)


@pytest.fixture
def archive() -> SlowArchive:
    return SlowArchive()


@pytest.fixture
def door(archive: SlowArchive) -> ArchiveDoor:
    return ArchiveDoor(cast(Archive, archive), archive.run)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_fragments_gather_while_one_commit_is_on_its_way(
    archive: SlowArchive, door: ArchiveDoor
) -> None:
    """The first goes alone, all that came meanwhile go together, durable if one must be."""
    first = asyncio.create_task(door.commit(fragment(1), durable=False))
    await _turns()
    rest = [asyncio.create_task(door.commit(fragment(n), durable=n == 3)) for n in (2, 3, 4)]
    await _turns()
    archive.free.set()
    await asyncio.gather(first, *rest)
    assert archive.commits == [(["1"], False), (["2", "3", "4"], True)]


async def test_an_error_is_told_to_all_of_its_group(
    archive: SlowArchive, door: ArchiveDoor
) -> None:
    """And to nobody else: the next commit is another try."""
    archive.error = ArchiveError("disk full")
    archive.free.set()
    results = await asyncio.gather(
        *(door.commit(fragment(n), durable=True) for n in (1, 2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [ArchiveError, ArchiveError]
    archive.error = None
    await door.commit(fragment(3), durable=True)


async def test_one_who_gives_up_does_not_stop_the_others(
    archive: SlowArchive, door: ArchiveDoor
) -> None:
    """A commit on its way is finished whoever waits for it."""
    leaving = asyncio.create_task(door.commit(fragment(1), durable=True))
    staying = asyncio.create_task(door.commit(fragment(2), durable=True))
    await _turns()
    leaving.cancel()
    await _turns()
    archive.free.set()
    await staying
    assert leaving.cancelled()
    assert [number for numbers, _ in archive.commits for number in numbers] == ["1", "2"]


async def test_committed_and_persisted_are_two_things(
    archive: SlowArchive, door: ArchiveDoor
) -> None:
    """Readers find a fragment before its producer may forget it."""
    archive.free.set()
    persisted = await door.commit(fragment(1), durable=True)
    assert not persisted.done()
    archive.persisted["1"]()
    async with asyncio.timeout(20):
        await persisted


async def test_reading_waits_for_no_writer(archive: SlowArchive, door: ArchiveDoor) -> None:
    """Readers have threads of their own; closing lets them go."""
    assert await door.read(divmod, 7, 2) == (3, 1)
    archive.free.set()
    await door.close()
    await door.close()
    assert archive.closed == 2
    with pytest.raises(RuntimeError, match="shutdown"):
        await door.read(divmod, 7, 2)


async def test_calls_run_in_the_gateways_threads(archive: SlowArchive, door: ArchiveDoor) -> None:
    """With their arguments, and with what they return."""
    archive.free.set()
    assert await door.call(divmod, 7, 2) == (3, 1)
