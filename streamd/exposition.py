"""What ``/metrics`` answers: what the processes counted, and what is seen only by looking.

Series of stream processors and streams that are gone are left out, and forgotten now and then.
The text is Prometheus' own or OpenMetrics, as the client asks.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from streamd import metric_files
from streamd.config import Settings
from streamd.lifecycle import Status
from streamd.metrics import Metrics
from streamd.pipeline.outbox_file import outbox_name
from streamd.store import Store
from streamd.store.errors import StoreError

__all__ = ["FORGET_SECONDS", "Exposition", "render", "resources_present"]

LOOK_SECONDS = 2.0
"""How long an answer waits for the store. Prometheus gives up after ten."""
FORGET_SECONDS = 60.0
"""How often a process lets go of series of resources that are gone."""

RunBlocking = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the store and the disk tell."""

    statuses: frozenset[tuple[str, Status]]
    counts: Mapping[Status, int]
    present: Mapping[str, frozenset[str]]
    disk_free_bytes: float
    disk_size_bytes: float


class Exposition:
    """Answers scrapes; all methods belong to the loop.

    Args:
        metrics: Of the control process.
        store: Asked for what exists.
        settings: The data directory, the own account, and the bounds that are shown as metrics.
        run_blocking: Awaits a blocking call.

    """

    def __init__(
        self, *, metrics: Metrics, store: Store, settings: Settings, run_blocking: RunBlocking
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._settings = settings
        self._run = run_blocking
        self._looking: asyncio.Task[_Seen | None] | None = None
        self._shown: frozenset[tuple[str, Status]] = frozenset()
        self._forgot_at = time.monotonic()
        metrics.outbox_capacity_bytes.set(settings.outbox.max_bytes)
        metrics.archive_capacity_bytes.set(settings.kinesis_video.max_archive_bytes)

    async def answer(self, accept: str | None) -> tuple[bytes, str]:
        """Return a body and its content type.

        Args:
            accept: The request's header.

        """
        seen = await self._look()
        self._metrics.store_up.set(seen is not None)
        if seen is not None:
            self._show(seen)
        answer: tuple[bytes, str] = await self._run(self._render, accept, seen)
        return answer

    async def aclose(self) -> None:
        """End the look at the store that may be under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> _Seen | None:
        # A store that swallows requests holds one thread, however many scrapes come meanwhile.
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._run_look(), name="metrics-look")
        done, _ = await asyncio.wait({self._looking}, timeout=LOOK_SECONDS)
        return self._looking.result() if done else None

    async def _run_look(self) -> _Seen | None:
        try:
            seen: _Seen = await self._run(self._read)
        except StoreError:
            return None
        return seen

    def _read(self) -> _Seen:
        found = self._store.stream_processor_statuses()
        try:
            disk = shutil.disk_usage(self._settings.data_dir)
            free, size = float(disk.free), float(disk.total)
        except OSError:
            free = size = math.nan  # not shown
        return _Seen(
            statuses=frozenset((name, status) for _, name, status in found),
            counts=Counter(status for _, _, status in found),
            present=resources_present(self._store, self._settings),
            disk_free_bytes=free,
            disk_size_bytes=size,
        )

    def _show(self, seen: _Seen) -> None:
        metrics = self._metrics
        metrics.disk_free_bytes.set(seen.disk_free_bytes)
        metrics.disk_size_bytes.set(seen.disk_size_bytes)
        for status in Status:
            metrics.stream_processors.labels(status).set(seen.counts.get(status, 0))
        for name, status in self._shown - seen.statuses:
            metrics.stream_processor_status.labels(name, status).set(math.nan)
        for name, status in seen.statuses - self._shown:
            metrics.stream_processor_status.labels(name, status).set(1)
        self._shown = seen.statuses

    def _render(self, accept: str | None, seen: _Seen | None) -> tuple[bytes, str]:
        present = seen.present if seen is not None else {}
        if time.monotonic() - self._forgot_at > FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            for label, names in present.items():
                self._metrics.forget(label, names)
                metric_files.forget_ended(label, names)
        return render(self._metrics.registry, accept=accept, present=present)


def resources_present(store: Store, settings: Settings) -> dict[str, frozenset[str]]:
    """Return the values that labels of resources may have, as the store has them (blocking).

    Raises:
        StoreError: If the store does not answer.

    """
    processors = set()
    for account_id, name, _ in store.stream_processor_statuses():
        # Outboxes of other accounts carry theirs in their names.
        processors |= {name, outbox_name(account_id, name, own_account_id=settings.aws.account_id)}
    return {
        "stream_processor": frozenset(processors),
        "stream": frozenset(store.video_stream_names()),
    }


def render(
    registry: CollectorRegistry,
    *,
    accept: str | None = None,
    present: Mapping[str, frozenset[str]] | None = None,
) -> tuple[bytes, str]:
    """Return all metrics as text, and the text's content type.

    Args:
        registry: Of this process; in multi-process mode the files of all take its place.
        accept: What the client takes: OpenMetrics where it says so.
        present: For each label that names a resource, the values that exist. Series of others
            are left out, but for gauges that are not 0: results of a stream processor that is
            gone may still wait for their sink.

    """
    encode, content_type = choose_encoder(accept or "")
    return encode(_Pruned(registry, present or {})), content_type


class _Pruned(Collector):
    """The metrics of all processes without what is gone."""

    def __init__(self, registry: CollectorRegistry, present: Mapping[str, frozenset[str]]) -> None:
        self._registry = registry
        self._present = present

    def collect(self) -> Iterator[Metric]:
        """Give each metric that has a series."""
        for metric in self._all():
            metric.samples = [
                sample
                for sample in metric.samples
                if not math.isnan(sample.value)
                and (
                    self._is_present(sample.labels)
                    or (metric.type == "gauge" and sample.value != 0)
                )
            ]
            yield metric

    def _all(self) -> Iterable[Metric]:
        if metric_files.MULTIPROC_ENV not in os.environ:
            return self._registry.collect()
        with metric_files.FOLDING:
            return list(MultiProcessCollector(None).collect())  # type: ignore[no-untyped-call]  # the library has no types here

    def _is_present(self, labels: Mapping[str, str]) -> bool:
        return all(
            labels[label] in names for label, names in self._present.items() if label in labels
        )
