"""The contract every sink keeps, and the half of it that blocking sinks share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from streamd.records.items import OutboxItem

__all__ = ["BlockingSink", "Sink"]

T = TypeVar("T")


class Sink(Protocol):
    """A place results go to.

    One object serves all sessions of a process, called from many tasks of one loop.
    """

    name: str
    """For metrics and logs: ``local``, ``kafka``, ``kinesis``, ``s3``, ``sns``, ``webhook``."""

    async def open(self) -> None:
        """Get ready. What is not reachable yet is no error here."""

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """Hand the items over, in order; returns only once all of them are acknowledged.

        Raises:
            SinkError: If some are not; the error says which and what to do about them.

        """

    async def check(self, target: str) -> None:
        """Look whether the target of an item would be there.

        Raises:
            SinkGoneError: If it is not, in AWS's words.
            SinkUnavailableError: If that cannot be told now.

        """

    async def aclose(self) -> None:
        """Let go of everything, within a few seconds; may be called twice."""


class BlockingSink:
    """A sink whose library blocks: its calls run in threads of its own.

    Args:
        name: See :class:`Sink`.
        threads: How many calls may run at once.

    """

    def __init__(self, name: str, *, threads: int) -> None:
        self.name = name
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"sink-{name}")

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking function in one of the sink's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    async def aclose(self) -> None:
        """See :meth:`Sink.aclose`. A call under way ends by its own time-out, unattended."""
        self._executor.shutdown(wait=False, cancel_futures=True)
