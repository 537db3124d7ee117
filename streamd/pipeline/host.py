"""The sessions of one worker: claimed by leases in the store, renewed, given up in order.

Which sessions a worker claims, and which it gives up to others that have less to do, is decided
in ``spread``. A lease is the only right to write: a worker that was too slow to renew finds its sessions
gone, drops them without a word, and whoever claimed them goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from streamd.errors import StreamdError
from streamd.metrics import Metrics
from streamd.pipeline.load import LoadMeter
from streamd.pipeline.share import Move
from streamd.pipeline.spread import WorkSpreader
from streamd.resources import Session
from streamd.store import ClaimedSession, Store, WorkerPlace

__all__ = ["RunnableSession", "SessionHost"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.25
"""How often the store is looked at without a wake-up: with the renewal of leases of usual length.

The control process wakes its workers for whatever it does itself; this is for other replicas.
"""
RENEWALS_PER_LEASE = 4
REMOVE_SECONDS = 2.0
STAY_LEASES = 2
"""A session stays for so many leases at least before it is moved again."""


class RunnableSession(Protocol):
    """What the host needs of a session."""

    async def run(self) -> None:
        """Run to the end, whichever it is."""

    def request_stop(self) -> None:
        """StopStreamProcessor was called: end in order."""

    def drain(self) -> None:
        """Another worker is to go on: end and give the session back."""

    def lose(self) -> bool:
        """The lease is gone: end without writing anything.

        Returns:
            Whether that is news: not for a session that knows, or has just reported its end.

        """


@dataclass(kw_only=True)
class _Running:
    """A session that runs here."""

    session: Session
    runner: RunnableSession
    meter: LoadMeter
    since: float
    task: asyncio.Task[None] = field(init=False)
    is_leaving: bool = False
    """Given up for another worker; it drains."""


class SessionHost:
    """Claims sessions, runs them, renews their leases.

    Args:
        place: Who this worker is, and what it offers.
        store: Keeps the sessions.
        run_blocking: Runs a store call on the store's threads.
        open_session: Makes a session to run, given what to call with the seconds that it kept
            an analysis thread busy.
        lease_seconds: The same for all workers of a store.
        metrics: To count in.

    """

    def __init__(
        self,
        *,
        place: WorkerPlace,
        store: Store,
        run_blocking: Callable[..., Awaitable[object]],
        open_session: Callable[[ClaimedSession, Callable[[float], None]], RunnableSession],
        lease_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._place = place
        self._store = store
        self._run_blocking = run_blocking
        self._open_session = open_session
        self._lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / RENEWALS_PER_LEASE
        self._metrics = metrics
        self._spreader = WorkSpreader(place=place, store=store, lease_seconds=lease_seconds)
        self._running: dict[str, _Running] = {}
        self._registered = False
        self._draining = False
        self._held_until: dict[str, float] = {}
        """By this machine's clock, which runs on while the process is suspended."""
        self._store_away = False
        self._wake = asyncio.Event()

    @property
    def session_count(self) -> int:
        """How many sessions run here."""
        return len(self._running)

    def holds(self, session: Session) -> bool:
        """Return whether the lease has not ended: nobody else can have the session yet."""
        return time.monotonic() < self._held_until.get(_key(session), 0.0)

    def wake(self) -> None:
        """Look at the store now: something was started, stopped or deleted."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then drain every session."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.create_task(stop.wait(), name="host-stop")
        renewed_at = float("-inf")
        try:
            while not stop.is_set():
                woken = self._wake.is_set()
                self._wake.clear()
                due = loop.time() - renewed_at >= self._renew_seconds
                claimed = 0
                try:
                    await self._register()
                    # A wake-up may mean Stop, which the renewal brings.
                    if woken or due:
                        await self._renew()
                        renewed_at = loop.time()
                    claimed = await self._claim()
                    if due and self._running and not claimed:
                        await self._give_up_surplus()
                    self._note_store(None)
                except StreamdError as error:
                    self._note_store(error)
                if not claimed:
                    await self._pause(stopping)
        finally:
            stopping.cancel()
            await self._drain()

    async def _register(self) -> None:
        if not self._registered:
            await self._run_blocking(
                lambda: self._store.register_worker(self._place, lease_seconds=self._lease_seconds)
            )
            self._registered = True
            self._metrics.analysis_threads.inc(self._place.threads)

    async def _pause(self, stopping: asyncio.Task[bool]) -> None:
        waking = asyncio.create_task(self._wake.wait(), name="host-wake")
        try:
            await asyncio.wait(
                {waking, stopping},
                timeout=min(POLL_SECONDS, self._renew_seconds),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waking.cancel()

    async def _claim(self) -> int:
        room = self._place.max_sessions - len(self._running)
        wanted = await self._run_blocking(self._spreader.to_claim, room)
        assert isinstance(wanted, list)
        if not wanted:
            return 0
        until = time.monotonic() + self._lease_seconds
        claimed = await self._run_blocking(
            lambda: self._store.claim_sessions(
                self._place.owner,
                limit=len(wanted),
                lease_seconds=self._lease_seconds,
                among=wanted,
            )
        )
        assert isinstance(claimed, list)
        for claim in claimed:
            self._held_until[_key(claim.session)] = until
            self._begin(claim)
        return len(claimed)

    def _begin(self, claim: ClaimedSession) -> None:
        session = claim.session
        held = self._running.get(session.session_id)
        if held is not None:
            # Our own lease ran out unnoticed and we claimed it again: the old run is void.
            held.runner.lose()
            held.task.cancel()
        now = time.monotonic()
        meter = LoadMeter(now)
        runner = self._open_session(claim, meter.add)
        running = _Running(session=session, runner=runner, meter=meter, since=now)
        running.task = asyncio.create_task(runner.run(), name=f"session-{session.session_id}")
        self._running[session.session_id] = running
        running.task.add_done_callback(lambda done: self._ended(session, done))
        if session.stop_requested:
            runner.request_stop()

    def _ended(self, session: Session, task: asyncio.Task[None]) -> None:
        self._held_until.pop(_key(session), None)
        held = self._running.get(session.session_id)
        if held is not None and held.task is task:
            del self._running[session.session_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "session broke",
                exc_info=error,
                extra={"stream_processor": session.processor_name, "session": session.session_id},
            )
        self._wake.set()

    async def _renew(self) -> None:
        now = time.monotonic()
        epochs = {sid: running.session.epoch for sid, running in self._running.items()}
        looks = {sid: running.meter.look(now) for sid, running in self._running.items()}
        # Reckoned from before the call: the store's lease ends later than ours, if anything.
        until = now + self._lease_seconds
        held = await self._run_blocking(
            lambda: self._store.renew_sessions(
                self._place.owner,
                epochs,
                lease_seconds=self._lease_seconds,
                place=None if self._draining else self._place,
                loads={sid: load for sid, load in looks.items() if load is not None},
            )
        )
        assert isinstance(held, dict)
        self._metrics.analysis_load.set(sum(r.meter.threads for r in self._running.values()))
        for session_id, epoch in epochs.items():
            running = self._running.get(session_id)
            if running is None:
                continue
            if session_id not in held:
                # One that leaves may have given it back since we asked.
                is_leaving = running.is_leaving or self._draining
                if running.runner.lose() and not is_leaving:
                    logger.warning(
                        "lease lost",
                        extra={
                            "session": session_id,
                            "stream_processor": running.session.processor_name,
                        },
                    )
                continue
            if running.session.epoch == epoch:
                self._held_until[_key(running.session)] = until
            if held[session_id].stop_requested:
                running.runner.request_stop()

    async def _give_up_surplus(self) -> None:
        """Give back some sessions, as a shutdown does, if others have less to do."""
        if any(running.is_leaving for running in self._running.values()):
            return
        settled_before = time.monotonic() - STAY_LEASES * self._lease_seconds
        staying = [sid for sid, r in self._running.items() if r.since > settled_before]
        moves = await self._run_blocking(self._spreader.to_release, frozenset(staying))
        assert isinstance(moves, list)
        for move in moves:
            self._release(move)

    def _release(self, move: Move) -> None:
        for session_id in move.session_ids:
            running = self._running.get(session_id)
            if running is not None:
                running.is_leaving = True
                running.runner.drain()
                self._metrics.sessions_rebalanced.inc()
        account_id, stream = move.stream
        logger.info(
            "giving up sessions of a stream: another worker has less to do",
            extra={
                "account": account_id,
                "stream": stream,
                "sessions": len(move.session_ids),
                "to": move.to,
            },
        )

    async def _drain(self) -> None:
        self._draining = True
        try:
            # First, so that what is released is meant for others; but a store that hangs must
            # not take the time to drain.
            async with asyncio.timeout(REMOVE_SECONDS):
                await self._run_blocking(self._store.remove_worker, self._place.owner)
        except StreamdError as error:
            self._note_store(error)
        except TimeoutError:
            logger.warning("the store does not answer while this worker drains")
        # Leases stay renewed while sessions drain, or another worker would start them twice.
        for running in self._running.values():
            running.runner.drain()
        tasks = {running.task for running in self._running.values()}
        while tasks:
            _, tasks = await asyncio.wait(tasks, timeout=self._renew_seconds)
            if tasks:
                try:
                    await self._renew()
                except StreamdError as error:
                    self._note_store(error)

    def _note_store(self, error: StreamdError | None) -> None:
        if error is not None and not self._store_away:
            logger.error("the store cannot be used, trying again: %s", error)
        elif error is None and self._store_away:
            logger.info("the store can be used again")
        self._store_away = error is not None


def _key(session: Session) -> str:
    return f"{session.session_id}/{session.epoch}"
