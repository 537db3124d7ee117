"""The archive from the event loop: blocking calls in threads, commits in groups."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from streamd.gateway.archive import Archive, StoredFragment

__all__ = ["ArchiveDoor", "RunBlocking"]

T = TypeVar("T")

READ_THREADS: Final = 8


class RunBlocking(Protocol):
    """Awaits a blocking call in an executor made for the gateway."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]:
        """Run ``function(*args)`` in a thread."""


@dataclass(frozen=True, slots=True)
class _Pending:
    fragment: StoredFragment
    durable: bool
    committed: asyncio.Future[None]
    persisted: asyncio.Future[None]

    def settle(self) -> None:
        if not self.persisted.done():
            self.persisted.set_result(None)


class ArchiveDoor:
    """One per gateway."""

    def __init__(self, archive: Archive, run_blocking: RunBlocking) -> None:
        self.archive = archive
        self._run_blocking = run_blocking
        # Reading may take as long as S3 does: what is written waits for no reader.
        self._readers = concurrent.futures.ThreadPoolExecutor(
            READ_THREADS, thread_name_prefix="archive-read"
        )
        self._pending: list[_Pending] = []
        self._committing: asyncio.Task[None] | None = None

    async def call(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a method of the archive in a thread."""
        return await self._run_blocking(function, *args)

    async def read(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a method of the archive that may have to wait for S3."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *args)

    async def close(self) -> None:
        """Close the archive; may be called twice."""
        await self.call(self.archive.close)
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def commit(self, fragment: StoredFragment, *, durable: bool) -> asyncio.Future[None]:
        """Let readers find a fragment; returns what is done when it is persisted.

        While one commit is on its way to the disk the next fragments gather, so a hundred
        producers do not mean a hundred syncs a second.

        Raises:
            ArchiveError: If the index cannot be written.

        """
        loop = asyncio.get_running_loop()
        item = _Pending(fragment, durable, loop.create_future(), loop.create_future())
        self._pending.append(item)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all(), name="archive-commit")
        await item.committed
        return item.persisted

    async def _commit_all(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._commit_batch(batch)
        finally:
            self._committing = None

    async def _commit_batch(self, batch: list[_Pending]) -> None:
        durable = any(item.durable for item in batch)
        loop = asyncio.get_running_loop()

        def commit_all() -> None:
            self.archive.commit([item.fragment for item in batch], durable=durable)
            for item in batch:
                self.archive.when_persisted(
                    item.fragment, functools.partial(_call_on, loop, item.settle)
                )

        commit = asyncio.ensure_future(self._run_blocking(commit_all))
        await asyncio.wait([commit])
        error = commit.exception()
        for item in batch:
            if item.committed.done():  # who waited for it was cancelled
                continue
            if error is None:
                item.committed.set_result(None)
            else:
                item.committed.set_exception(error)


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    # The archive may outlive the loop by the time of its last upload.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)
