"""The archive from the event loop: blocking calls in threads, commits in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from streamd.gateway.archive import Archive, StoredFragment

__all__ = ["ArchiveDoor", "RunBlocking"]

T = TypeVar("T")


class RunBlocking(Protocol):
    """Awaits a blocking call in an executor made for the gateway."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]:
        """Run ``function(*args)`` in a thread."""


class ArchiveDoor:
    """One per gateway."""

    def __init__(self, archive: Archive, run_blocking: RunBlocking) -> None:
        self.archive = archive
        self._run_blocking = run_blocking
        self._pending: list[tuple[StoredFragment, bool, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def call(self, function: Callable[..., T], /, *args: Any) -> T:
        """Run a method of the archive in a thread."""
        return await self._run_blocking(function, *args)

    async def commit(self, fragment: StoredFragment, *, durable: bool) -> None:
        """Let readers find a fragment.

        While one commit is on its way to the disk the next fragments gather, so a hundred
        producers do not mean a hundred syncs a second.

        Raises:
            ArchiveError: If the index cannot be written.

        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((fragment, durable, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all(), name="archive-commit")
        await done

    async def _commit_all(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._commit_batch(batch)
        finally:
            self._committing = None

    async def _commit_batch(
        self, batch: list[tuple[StoredFragment, bool, asyncio.Future[None]]]
    ) -> None:
        durable = any(item[1] for item in batch)
        fragments = [item[0] for item in batch]
        commit = asyncio.ensure_future(
            self._run_blocking(lambda: self.archive.commit(fragments, durable=durable))
        )
        await asyncio.wait([commit])
        error = commit.exception()
        for _fragment, _durable, done in batch:
            if done.done():  # who waited for it was cancelled
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
