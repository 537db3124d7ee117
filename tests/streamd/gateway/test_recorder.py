from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamd.gateway.archive import Archive, Retention
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.errors import ArchiveError
from streamd.gateway.fragmenter import Opened
from streamd.gateway.live import FragmentState, LiveFragment, LiveStream
from streamd.gateway.recorder import MAX_UNWRITTEN_BYTES, RIPE_BYTES, Recorder
from tests.support.clock import ManualClock
from tests.support.gateway import eventually

RETENTION = Retention(max_age_ms=3600_000, max_bytes=None, durable=True)
PART = bytes(RIPE_BYTES // 4)


class Bench:
    """A recorder over a real archive whose writes can be held up or made to fail."""

    def __init__(self, archive: Archive, pool: concurrent.futures.Executor) -> None:
        self.archive = archive
        self.go_on = threading.Event()
        self.go_on.set()
        self.broken = False
        self.commits = 0
        loop = asyncio.get_running_loop()
        self.door = ArchiveDoor(archive, partial(loop.run_in_executor, pool))
        stream_id = archive.stream_id("door")
        self.stream = LiveStream(
            "door", stream_id=stream_id, newest=None, newest_ms=0, retention_hours=1
        )
        self.archived: list[LiveFragment] = []
        self.failed: list[LiveFragment] = []
        self.recorder = Recorder(
            door=self.door,
            stream=self.stream,
            retention=lambda: RETENTION,
            on_persisted=self.archived.append,
            on_failed=lambda fragment, _error: self.failed.append(fragment),
            on_written=lambda _size: None,
        )

    def begin(self) -> LiveFragment:
        opened = Opened(header=b"header", timecode_ms=0, producer_ms=0)
        fragment = self.stream.begin(opened, server_ms=1000)
        self.recorder.add(fragment)
        return fragment

    def add(self, fragment: LiveFragment, data: bytes = PART) -> None:
        fragment.add(data)
        self.recorder.poke()

    def complete(self, fragment: LiveFragment) -> None:
        self.stream.complete(fragment, server_end_ms=2000, length_ms=1000, patch=None)
        self.recorder.poke()


@pytest.fixture
def pool() -> Iterator[concurrent.futures.Executor]:
    with concurrent.futures.ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
async def bench(
    tmp_path: Path, pool: concurrent.futures.Executor, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    archive = DiskArchive(tmp_path, clock=ManualClock(), max_bytes=1 << 30, on_lost=lambda *_: None)
    made = Bench(archive, pool)
    begin, commit = archive.begin, archive.commit

    def slow_begin(*args: Any) -> Any:
        writer = begin(*args)
        write = writer.write

        def slow_write(header: bytes, parts: Any) -> None:
            assert made.go_on.wait(20)
            if made.broken:
                raise ArchiveError("broken")
            write(header, parts)

        writer.write = slow_write  # type: ignore[method-assign]  # the seam of this test
        return writer

    def slow_commit(*args: Any, **kwargs: Any) -> None:
        made.commits += 1
        assert made.go_on.wait(20)
        commit(*args, **kwargs)

    monkeypatch.setattr(archive, "begin", slow_begin)
    monkeypatch.setattr(archive, "commit", slow_commit)
    yield made
    made.go_on.set()
    if made.stream.open_fragment is not None:
        made.stream.fail(made.stream.open_fragment)
    await made.recorder.finish()
    archive.close()


async def test_large_fragments_leave_the_memory_while_they_arrive(bench: Bench) -> None:
    """What is written is let go but for the newest megabytes; the archive has the rest."""
    fragment = bench.begin()
    for index in range(64):  # 16 MiB
        bench.add(fragment, bytes([index]) * len(PART))
        await bench.recorder.room()
    await eventually(lambda: fragment.written > 12 * 1024 * 1024)
    assert fragment.size - fragment.kept_from <= MAX_UNWRITTEN_BYTES
    assert fragment.place is not None
    data = bench.archive.read(fragment.place, len(PART), 2)
    assert data == b"\x01\x01"
    bench.complete(fragment)
    await bench.recorder.finish()
    assert bench.archived == [fragment]
    assert bench.archive.newest(bench.stream.stream_id) is not None


async def test_a_slow_disk_holds_the_upload_up(bench: Bench) -> None:
    """With too much unwritten room() waits, until the disk has caught up."""
    fragment = bench.begin()
    bench.go_on.clear()
    for _ in range(MAX_UNWRITTEN_BYTES // len(PART) + 1):
        bench.add(fragment)
    waiting = asyncio.create_task(bench.recorder.room())
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    bench.go_on.set()
    await asyncio.wait_for(waiting, 20)


async def test_failed_fragments_are_given_up(bench: Bench) -> None:
    """A fragment that breaks a rule is never archived; the next one is."""
    bad, good = bench.begin(), None
    for _ in range(8):
        bench.add(bad)
    await eventually(lambda: bad.written)
    bench.stream.fail(bad)
    bench.recorder.poke()
    good = bench.begin()
    bench.add(good, b"small")
    bench.complete(good)
    await bench.recorder.finish()
    found = bench.archive.after(bench.stream.stream_id, "0", limit=10)
    assert [fragment.number for fragment in found] == [good.number]


async def test_a_broken_archive_fails_this_fragment_and_all_after_it(bench: Bench) -> None:
    """The first is reported; none is left that anybody would wait for."""
    bench.broken = True
    first, second = bench.begin(), bench.begin()
    for fragment in (first, second):
        bench.add(fragment, b"x")
        bench.complete(fragment)
    await bench.recorder.finish()
    third = bench.begin()
    assert bench.failed == [first]
    assert {fragment.state for fragment in (first, second, third)} == {FragmentState.FAILED}
    assert bench.stream.after("0") is None


async def test_commits_gather_while_one_is_on_its_way(bench: Bench) -> None:
    """Many fragments at once take two commits, not one each."""
    bench.go_on.clear()
    stored = []
    for index in range(9):
        writer = DiskArchive.begin(bench.archive, bench.stream.stream_id, RETENTION)  # type: ignore[arg-type]  # it is one
        writer.write(b"header", [b"x"])
        stored.append(
            writer.finish(
                number=f"{index:047d}",
                server_ms=index,
                server_end_ms=index,
                producer_ms=index,
                length_ms=1,
                patch=None,
            )
        )
    first = asyncio.create_task(bench.door.commit(stored[0], durable=True))
    await eventually(lambda: bench.commits == 1)
    others = [asyncio.create_task(bench.door.commit(item, durable=True)) for item in stored[1:]]
    bench.go_on.set()
    await asyncio.gather(first, *others)
    assert bench.commits == 2
    assert len(bench.archive.after(bench.stream.stream_id, "", limit=100)) == 9
