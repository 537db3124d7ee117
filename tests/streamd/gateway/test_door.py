"""The archive from the event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from streamd.gateway.archive import StoredFragment
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.door import READ_THREADS, ArchiveDoor
from tests.support.archives import DiskBox


class SlowArchive(DiskArchive):
    """Keeps fragments for good when the test says so."""

    waiting: list[Callable[[], None]]

    def when_persisted(self, fragment: StoredFragment, done: Callable[[], None]) -> None:
        del fragment
        self.waiting.append(done)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[tuple[DiskBox, ArchiveDoor]]:
    box = DiskBox(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        run = partial(asyncio.get_running_loop().run_in_executor, pool)
        made = ArchiveDoor(box.archive, run)
        yield box, made
        await made.close()


async def test_what_is_committed_on_disk_is_persisted(door: tuple[DiskBox, ArchiveDoor]) -> None:
    """At once: nothing else is to be waited for."""
    box, made = door
    persisted = await made.commit(box.write(0), durable=True)
    assert persisted.done()
    assert box.seconds() == [0]


async def test_committed_comes_before_persisted(tmp_path: Path) -> None:
    """Readers find it at once; the promise follows when the archive says so, from any thread."""
    box = DiskBox(tmp_path)
    box.archive.__class__ = SlowArchive
    assert isinstance(box.archive, SlowArchive)
    box.archive.waiting = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = ArchiveDoor(box.archive, partial(asyncio.get_running_loop().run_in_executor, pool))
        persisted = await made.commit(box.write(0), durable=True)
        assert (persisted.done(), box.seconds()) == (False, [0])
        thread = threading.Thread(target=box.archive.waiting[0])
        thread.start()
        await asyncio.wait_for(persisted, 30)
        thread.join()
        await made.close()


async def test_slow_readers_hold_up_no_writer(door: tuple[DiskBox, ArchiveDoor]) -> None:
    """However many wait for S3, what arrives is written."""
    box, made = door
    gate = threading.Event()
    reads = [asyncio.create_task(made.read(gate.wait, 30)) for _ in range(READ_THREADS + 2)]
    await made.commit(await made.call(box.write, 0), durable=True)
    gate.set()
    assert all(await asyncio.gather(*reads))
