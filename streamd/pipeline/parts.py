"""What all sessions of a process share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from streamd.clock import Clock
from streamd.config import Settings
from streamd.ingest.getmedia import KinesisVideoClient
from streamd.metrics import Metrics
from streamd.pipeline.collection_search import CollectionSearch
from streamd.pipeline.engine import AnalysisEngine
from streamd.pipeline.feeds import Feeds
from streamd.resources import StreamProcessor
from streamd.sinks.router import SinkRouter
from streamd.store import Store

__all__ = ["SessionParts"]


def _ignore(busy_seconds: float) -> None:
    del busy_seconds


@dataclass(frozen=True, kw_only=True)
class SessionParts:
    """Handed to every session; made once by the worker."""

    settings: Settings
    store: Store
    run_blocking: Callable[..., Awaitable[Any]]
    """Runs a store call on the store's threads."""
    run_outbox: Callable[..., Awaitable[Any]]
    """Runs an outbox call on the outboxes' threads."""
    engine: AnalysisEngine
    feeds: Feeds
    client: KinesisVideoClient
    sinks: SinkRouter
    search: CollectionSearch
    metrics: Metrics
    clock: Clock
    on_busy: Callable[[float], None] = _ignore
    """Called on the event loop with the seconds a session kept an analysis thread busy; each
    session has its own."""

    def role_of(self, processor: StreamProcessor) -> str | None:
        """Return the role to act by for a stream processor, ``None`` for the daemon's own."""
        return processor.definition.role_arn if self.settings.assumes_roles else None
