"""Results that waited longer than their session: delivered when the sink is back.

A stop, a delete or a restart does not wait for a dead sink for ever. What is left in an outbox
whose stream processor has no session is delivered here, by one worker of the daemon. A session
that starts takes the outbox over; this side notices and lets go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from pydantic import ValidationError

from streamd.clock import Clock
from streamd.config import Settings
from streamd.errors import StreamdError
from streamd.metrics import Metrics
from streamd.pipeline.delivery import Delivery, RunBlocking
from streamd.pipeline.outbox import (
    Outbox,
    OutboxError,
    OutboxTakenError,
    leftover_outboxes,
    outbox_path,
)
from streamd.pipeline.outbox_file import owner_of
from streamd.pipeline.preparation import targets_of
from streamd.pipeline.progress import SessionProgress
from streamd.sinks.router import SinkRouter
from streamd.store import Store
from streamd.store.errors import NotFoundError, StoreError

__all__ = ["LeftoverDelivery"]

logger = logging.getLogger(__name__)

SCAN_SECONDS = 10.0
GONE_SECONDS = 300.0
"""A target that is gone is looked for again after so long: someone may bring it back."""
DELIVER_PAST_SECONDS = 60.0


class LeftoverDelivery:
    """Looks for outboxes nobody pumps, and pumps them."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        sinks: SinkRouter,
        metrics: Metrics,
        clock: Clock,
        run_store: RunBlocking,
        run_outbox: RunBlocking,
        scan_seconds: float = SCAN_SECONDS,
    ) -> None:
        self._settings = settings
        self._store = store
        self._sinks = sinks
        self._metrics = metrics
        self._clock = clock
        self._run_store = run_store
        self._run_outbox = run_outbox
        self._scan_seconds = scan_seconds
        self._folder = settings.data_dir / "outbox"
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        """When to try again, by the monotonic clock, those whose target is gone."""

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._scan()
                await asyncio.sleep(self._scan_seconds)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _scan(self) -> None:
        self._tasks = {name: task for name, task in self._tasks.items() if not task.done()}
        now = self._clock.monotonic()
        self._not_before = {name: at for name, at in self._not_before.items() if at > now}
        try:
            for name in await self._run_outbox(leftover_outboxes, self._folder):
                if name in self._tasks or name in self._not_before:
                    continue
                if await self._is_idle(name):
                    task = asyncio.create_task(self._deliver(name), name=f"leftovers-{name}")
                    self._tasks[name] = task
        except StreamdError as error:
            logger.warning("leftover results cannot be looked for: %s", error)

    async def _is_idle(self, name: str) -> bool:
        return await self._run_store(self._store.session, *self._owner(name)) is None

    def _owner(self, name: str) -> tuple[str, str]:
        return owner_of(name, own_account_id=self._settings.aws.account_id)

    async def _deliver(self, name: str) -> None:
        try:
            await self._deliver_outbox(name)
        except (OutboxError, StoreError) as error:
            # The next scan tries again.
            logger.warning(
                "leftovers cannot be delivered now: %s", error, extra={"stream_processor": name}
            )

    async def _deliver_outbox(self, name: str) -> None:
        path = outbox_path(self._folder, name)
        targets = await self._targets(name)
        outbox = await self._run_outbox(
            lambda: Outbox(path, max_bytes=self._settings.outbox.max_bytes, clock=self._clock)
        )
        try:
            sinks = await self._sinks_for(name, outbox)
        except OutboxError:
            await self._run_outbox(outbox.close)
            raise
        delivery = Delivery(
            outbox,
            sinks,
            processor_name=name,
            dead_letter_dir=self._settings.data_dir / "dead-letter",
            metrics=self._metrics,
            clock=self._clock,
            run_blocking=self._run_outbox,
            targets=targets if targets is not None else (),
            settings=self._settings.outbox,
        )
        logger.info("delivering what an earlier session left", extra={"stream_processor": name})
        pump = asyncio.create_task(delivery.run(), name=f"delivery-{name}")
        try:
            drained = await delivery.drain(float("inf"))
            if delivery.gone is not None:
                self._not_before[name] = self._clock.monotonic() + GONE_SECONDS
                await delivery.deliver_past(DELIVER_PAST_SECONDS)
        finally:
            pump.cancel()
            (ended,) = await asyncio.gather(pump, return_exceptions=True)
            await self._run_outbox(outbox.close)
        if isinstance(ended, OutboxTakenError):
            logger.info("a session took the outbox over", extra={"stream_processor": name})
        elif isinstance(ended, Exception):
            logger.error("leftovers not delivered", exc_info=ended)
        elif drained and targets is None:
            await self._run_outbox(_remove, path)

    async def _sinks_for(self, name: str, outbox: Outbox) -> SinkRouter:
        account_id, _ = self._owner(name)
        sinks = self._sinks
        if account_id != self._settings.aws.account_id:
            sinks = sinks.of_account(account_id)
        if self._settings.assumes_roles:
            # Its stream processor may be gone; the role its results were made for is not known
            # but from them.
            state = await self._run_outbox(outbox.state)
            with contextlib.suppress(ValidationError):
                progress = SessionProgress.model_validate_json(state or "")
                if progress.role_arn is not None:
                    sinks = sinks.of_role(progress.role_arn)
        return sinks

    async def _targets(self, name: str) -> list[str] | None:
        try:
            processor = await self._run_store(self._store.stream_processor, *self._owner(name))
        except NotFoundError:
            return None
        return [target for _, target in targets_of(processor)]


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
