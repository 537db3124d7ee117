"""The sessions of one worker: claimed by leases in the store, renewed, given up in order.

A lease is the only right to write: a worker that was too slow to renew finds its sessions
gone, drops them without a word, and whoever claimed them goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from streamd.errors import StreamdError
from streamd.resources import Session
from streamd.store import ClaimedSession, Store

__all__ = ["RunnableSession", "SessionHost"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often the store is looked at without a wake-up."""
CLAIMS_AT_ONCE = 4
"""So that workers which wake together share new sessions instead of one taking all."""
RENEWALS_PER_LEASE = 4


class RunnableSession(Protocol):
    """What the host needs of a session."""

    async def run(self) -> None:
        """Run to the end, whichever it is."""

    def request_stop(self) -> None:
        """StopStreamProcessor was called: end in order."""

    def drain(self) -> None:
        """The process shuts down: end where another can go on."""

    def lose(self) -> bool:
        """The lease is gone: end without writing anything.

        Returns:
            Whether that is news: not for a session that knows, or has just reported its end.

        """


class SessionHost:
    """Claims sessions, runs them, renews their leases."""

    def __init__(
        self,
        *,
        owner: str,
        store: Store,
        run_blocking: Callable[..., Awaitable[object]],
        open_session: Callable[[ClaimedSession], RunnableSession],
        lease_seconds: float,
        max_sessions: int,
    ) -> None:
        self._owner = owner
        self._store = store
        self._run_blocking = run_blocking
        self._open_session = open_session
        self._lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / RENEWALS_PER_LEASE
        self._max_sessions = max_sessions
        self._running: dict[str, tuple[Session, RunnableSession, asyncio.Task[None]]] = {}
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
                try:
                    # A wake-up may mean Stop, which the renewal brings.
                    if woken or loop.time() - renewed_at >= self._renew_seconds:
                        await self._renew()
                        renewed_at = loop.time()
                    claimed = await self._claim()
                    self._note_store(None)
                except StreamdError as error:
                    self._note_store(error)
                    claimed = 0
                if claimed:
                    # Let the other workers have their share of a burst.
                    await asyncio.sleep(0.02 * self.session_count / max(1, self._max_sessions))
                    continue
                await self._pause(stopping)
        finally:
            stopping.cancel()
            await self._drain()

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
        room = min(CLAIMS_AT_ONCE, self._max_sessions - len(self._running))
        if room <= 0:
            return 0
        until = time.monotonic() + self._lease_seconds
        claimed = await self._run_blocking(
            lambda: self._store.claim_sessions(
                self._owner, limit=room, lease_seconds=self._lease_seconds
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
            held[1].lose()
            held[2].cancel()
        runner = self._open_session(claim)
        task = asyncio.create_task(runner.run(), name=f"session-{session.session_id}")
        self._running[session.session_id] = (session, runner, task)
        task.add_done_callback(lambda done: self._ended(session, done))
        if session.stop_requested:
            runner.request_stop()

    def _ended(self, session: Session, task: asyncio.Task[None]) -> None:
        self._held_until.pop(_key(session), None)
        held = self._running.get(session.session_id)
        if held is not None and held[2] is task:
            del self._running[session.session_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "session broke",
                exc_info=error,
                extra={"stream_processor": session.processor_name, "session": session.session_id},
            )
        self._wake.set()

    async def _renew(self) -> None:
        if not self._running:
            return
        epochs = {sid: session.epoch for sid, (session, _, _) in self._running.items()}
        # Reckoned from before the call: the store's lease ends later than ours, if anything.
        until = time.monotonic() + self._lease_seconds
        held = await self._run_blocking(
            lambda: self._store.renew_sessions(
                self._owner, epochs, lease_seconds=self._lease_seconds
            )
        )
        assert isinstance(held, dict)
        for session_id, epoch in epochs.items():
            entry = self._running.get(session_id)
            if entry is None:
                continue
            if session_id not in held:
                if entry[1].lose():
                    logger.warning(
                        "lease lost",
                        extra={
                            "session": session_id,
                            "stream_processor": entry[0].processor_name,
                        },
                    )
                continue
            if entry[0].epoch == epoch:
                self._held_until[_key(entry[0])] = until
            if held[session_id].stop_requested:
                entry[1].request_stop()

    async def _drain(self) -> None:
        # Leases stay renewed while sessions drain, or another worker would start them twice.
        for _, runner, _ in self._running.values():
            runner.drain()
        tasks = {task for _, _, task in self._running.values()}
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
