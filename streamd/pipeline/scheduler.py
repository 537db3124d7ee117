"""The control side's only writer of statuses: what API operations do to stream processors.

The lifecycle is applied in the store, as one transaction each; here it is moved off the event
loop, logged as ``old -> new``, counted, and workers are told to look at once. What a session
itself brings about (input opened, ended, failed) the worker that holds it reports.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from streamd.lifecycle import Status
from streamd.metrics import Metrics
from streamd.resources import Session, StartRequest, StreamProcessor, StreamProcessorDefinition
from streamd.store import Store

__all__ = ["StreamProcessorScheduler"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ABSENT = "absent"
"""Stands in metrics for the status of what does not exist yet or any more."""


class StreamProcessorScheduler:
    """Creates, starts, stops, updates and deletes stream processors.

    Every method passes on what the store raises: ``NotFoundError``, ``NameInUseError``,
    ``LimitError``, ``TransitionError`` (the status is unchanged), ``StoreUnavailableError``.
    """

    def __init__(
        self,
        *,
        store: Store,
        run_blocking: Callable[..., Awaitable[Any]],
        metrics: Metrics,
        wake: Callable[[], None],
    ) -> None:
        """Wire the parts.

        Args:
            store: Where stream processors are kept.
            run_blocking: ``await run_blocking(function)`` runs it in the store's executor.
            metrics: ``status_changes`` is counted here.
            wake: Called on the loop when a worker has something to begin or to end.

        """
        self._store = store
        self._run_blocking = run_blocking
        self._metrics = metrics
        self._wake = wake

    async def create(
        self,
        *,
        account_id: str,
        name: str,
        arn: str,
        definition: StreamProcessorDefinition,
        tags: Mapping[str, str],
        limit: int,
    ) -> StreamProcessor:
        """Create a stream processor, STOPPED; see :meth:`Store.create_stream_processor`."""
        created: StreamProcessor = await self._run_blocking(
            lambda: self._store.create_stream_processor(
                account_id=account_id,
                name=name,
                arn=arn,
                definition=definition,
                tags=tags,
                limit=limit,
            )
        )
        self._note(name, _ABSENT, created.status)
        return created

    async def describe(self, account_id: str, name: str) -> StreamProcessor:
        """Return one stream processor."""
        found: StreamProcessor = await self._run_blocking(
            lambda: self._store.stream_processor(account_id, name)
        )
        return found

    async def list(
        self, account_id: str, *, after: str | None, limit: int
    ) -> list[StreamProcessor]:
        """Return up to ``limit`` in order of name, those after the name ``after``."""
        found: list[StreamProcessor] = await self._run_blocking(
            lambda: self._store.list_stream_processors(account_id, after=after, limit=limit)
        )
        return found

    async def start(
        self, account_id: str, name: str, start: StartRequest, *, limit: int
    ) -> Session:
        """Turn it STARTING and leave its session to the workers.

        Args:
            account_id: Account of the stream processor.
            name: Its name.
            start: Where to begin and how long to go on.
            limit: Most sessions of its kind that may run at once.

        """
        before, session = await self._change(
            account_id,
            name,
            lambda: self._store.start_session(account_id, name, start, limit=limit),
        )
        self._note(name, before, Status.STARTING, session=session.session_id)
        self._wake()
        return session

    async def stop(self, account_id: str, name: str) -> StreamProcessor:
        """Turn it STOPPING; the worker that holds the session brings it to STOPPED."""
        before, stopping = await self._change(
            account_id, name, lambda: self._store.request_stop(account_id, name)
        )
        self._note(name, before, stopping.status)
        self._wake()
        return stopping

    async def update(
        self,
        account_id: str,
        name: str,
        change: Callable[[StreamProcessorDefinition], StreamProcessorDefinition],
    ) -> StreamProcessor:
        """Change its definition; what ``change`` raises passes through, nothing has changed."""
        before, updated = await self._change(
            account_id, name, lambda: self._store.update_stream_processor(account_id, name, change)
        )
        self._note(name, before, Status.UPDATING)
        self._note(name, Status.UPDATING, updated.status)
        return updated

    async def delete(self, account_id: str, name: str) -> StreamProcessor:
        """Delete it with tags and session; returns it as it was."""
        deleted: StreamProcessor = await self._run_blocking(
            lambda: self._store.delete_stream_processor(account_id, name)
        )
        self._note(name, deleted.status, _ABSENT)
        self._wake()
        return deleted

    async def _change(self, account_id: str, name: str, call: Callable[[], T]) -> tuple[Status, T]:
        # The status before is for log and metrics alone, so it need not be the transaction's.
        def work() -> tuple[Status, T]:
            return self._store.stream_processor(account_id, name).status, call()

        result: tuple[Status, T] = await self._run_blocking(work)
        return result

    def _note(self, name: str, before: str, after: str, **fields: str) -> None:
        self._metrics.status_changes.labels(before, after).inc()
        logger.info("%s -> %s", before, after, extra={"stream_processor": name, **fields})
