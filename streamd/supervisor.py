"""Worker processes: started, told to look at the store, watched, started again when they end.

The pipe to a worker's standard input carries its settings first, then one line per wake-up;
its end tells the worker to drain and leave, so no worker outlives the control process. A second
pipe carries the worker's pulse: one that hangs, or is suspended, keeps locks that others wait
for, so it is killed like one that crashed and another takes its place.

Each process has a name of its own, under which it claims sessions. When it is dead, whoever
keeps the claims is told the name (``on_dead``): nobody has to wait for leases to run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from streamd import metric_files
from streamd.errors import StreamdError
from streamd.metrics import Metrics
from streamd.retry import Backoff

__all__ = ["WORKER", "WorkerSupervisor"]

logger = logging.getLogger(__name__)

WORKER = (sys.executable, "-m", "streamd.worker")
"""The command of a worker; its name and the descriptor for its pulse are added."""
STABLE_SECONDS = 30.0
"""A worker that lived this long starts again without waiting."""
SETTLED_SECONDS = 10.0
"""A worker that lived this long is well, whatever became of those before it."""
ENDS_IN_A_ROW = 3
"""So many short lives one after the other are a state, not an accident."""
SILENT_SECONDS = 12.0
"""A worker without a pulse for this long is killed. Its event loop beats once a second.

A lock of the store that it holds keeps the others from taking its sessions: they are promised
within 15 s."""
_LOOK_SECONDS = 1.0


async def _ignore(name: str) -> None:
    """Tell nobody."""
    del name


@dataclass(kw_only=True)
class _Slot:
    """A place for one worker, and how its workers fared."""

    setup_line: str
    backoff: Backoff = field(default_factory=lambda: Backoff(base_seconds=0.2, cap_seconds=10.0))
    process: asyncio.subprocess.Process | None = None
    name: str = ""
    started_at: float = 0.0
    heard_at: float = 0.0
    short_lives: int = 0
    last_end: str = ""

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.returncode is None


class WorkerSupervisor:
    """Keeps one worker process for each setup line running until :meth:`aclose`.

    Args:
        setup_lines: What each worker reads first.
        metrics: To count in.
        on_dead: Awaited with the name of each worker that ended without draining.
        silent_seconds: Without a pulse for so long, a worker is killed.
        command: For tests.

    """

    def __init__(
        self,
        *,
        setup_lines: Sequence[str],
        metrics: Metrics,
        on_dead: Callable[[str], Awaitable[None]] = _ignore,
        silent_seconds: float = SILENT_SECONDS,
        command: Sequence[str] = WORKER,
    ) -> None:
        self._slots = [_Slot(setup_line=line) for line in setup_lines]
        self._metrics = metrics
        self._on_dead = on_dead
        self._silent_seconds = silent_seconds
        self._command = command
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that live now."""
        return tuple(s.process.pid for s in self._slots if s.process is not None and s.is_alive)

    @property
    def names(self) -> frozenset[str]:
        """Names under which the workers that live now claim sessions."""
        return frozenset(slot.name for slot in self._slots if slot.is_alive)

    def trouble(self) -> str | None:
        """Say why no session can run here, ``None`` while at least one worker is well."""
        now = asyncio.get_running_loop().time()
        for slot in self._slots:
            settled = slot.is_alive and now - slot.started_at >= SETTLED_SECONDS
            if settled or slot.short_lives < ENDS_IN_A_ROW:
                return None
        return f"no worker stays alive: the last one {self._slots[-1].last_end}; see the log"

    async def start(self) -> None:
        """Start all workers; returns when each has been tried once."""
        for slot in self._slots:
            await self._spawn(slot)
        names = enumerate(self._slots)
        self._tasks = [
            asyncio.create_task(self._keep(slot), name=f"worker-{index}") for index, slot in names
        ]
        self._tasks.append(asyncio.create_task(self._listen(), name="worker-pulses"))

    def wake(self) -> None:
        """Tell every worker to look at the store now instead of at its next poll."""
        for slot in self._slots:
            # A broken pipe is seen by the keeper of that worker.
            pipe = slot.process.stdin if slot.process is not None else None
            if pipe is not None and not pipe.is_closing():
                pipe.write(b"\n")

    async def aclose(self, *, drain_seconds: float) -> None:
        """Let the workers drain; kill those that need longer than ``drain_seconds``."""
        self._stopping = True
        living = [slot for slot in self._slots if slot.process is not None and slot.is_alive]
        waits = [slot.process.wait() for slot in living if slot.process is not None]
        for slot in living:
            if slot.process is not None and slot.process.stdin is not None:
                slot.process.stdin.close()
        try:
            async with asyncio.timeout(drain_seconds):
                await asyncio.gather(*waits)
        except TimeoutError:
            for slot in living:
                if slot.process is not None and slot.is_alive:
                    logger.warning("worker did not drain in time", extra=_facts(slot))
                    with contextlib.suppress(ProcessLookupError):
                        slot.process.kill()
                    await slot.process.wait()
        for slot in living:
            if slot.process is not None and slot.process.returncode != 0:
                await self._tell_dead(slot.name)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._count()

    async def _keep(self, slot: _Slot) -> None:
        """Wait for the end of a slot's worker and start the next one, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            if slot.process is not None:
                code = await slot.process.wait()
                if self._stopping:
                    return
                slot.last_end = _end_of(code)
                # First of all: what it held is waited for.
                await self._tell_dead(slot.name)
                await asyncio.to_thread(metric_files.fold, slot.process.pid)
            self._metrics.worker_restarts.inc()
            self._count()
            lived = loop.time() - slot.started_at
            if lived > STABLE_SECONDS:
                slot.backoff.reset()
                slot.short_lives = 0
            slot.short_lives += 1
            delay = slot.backoff.next_delay()
            logger.error(
                "worker %s after %.1f s, starting another in %.1f s",
                slot.last_end,
                lived,
                delay,
                extra={**_facts(slot), "in_a_row": slot.short_lives},
            )
            await asyncio.sleep(delay)
            await self._spawn(slot)

    async def _spawn(self, slot: _Slot) -> None:
        loop = asyncio.get_running_loop()
        slot.process = None
        # Never given twice, not even by another machine of the same name.
        slot.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        slot.started_at = slot.heard_at = loop.time()
        try:
            ours, theirs = os.pipe()
        except OSError as error:
            slot.last_end = f"cannot be started ({error.strerror})"
            return
        try:
            slot.process = await self._execute(slot, theirs)
        except OSError as error:
            # No descriptors or no memory left: it may be better in a while.
            slot.last_end = f"cannot be started ({error.strerror})"
            os.close(ours)
            return
        finally:
            os.close(theirs)
        loop.add_reader(ours, self._heard, slot, slot.name, ours)
        self._count()

    async def _execute(self, slot: _Slot, pulse: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            slot.name,
            str(pulse),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(pulse,),
            # Streams are the parallelism: numpy's own threads would only fight over the cores.
            env={"OPENBLAS_NUM_THREADS": "1", **os.environ},
            # Ctrl-C in a terminal must reach the control process alone.
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(slot.setup_line.encode() + b"\n")
        return process

    def _heard(self, slot: _Slot, name: str, pipe: int) -> None:
        loop = asyncio.get_running_loop()
        if not os.read(pipe, 4096):
            loop.remove_reader(pipe)
            os.close(pipe)
        elif slot.name == name:
            slot.heard_at = loop.time()

    async def _listen(self) -> None:
        """Kill workers without a pulse."""
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            late = loop.time() - looked_at - _LOOK_SECONDS
            looked_at = loop.time()
            for slot in self._slots:
                # If it was us who stood still, their pulses wait in the pipes.
                slot.heard_at += max(0.0, late)
                silence = looked_at - slot.heard_at
                if slot.is_alive and silence > self._silent_seconds:
                    assert slot.process is not None
                    logger.error(
                        "worker gave no sign of life for %.0f s, killing it",
                        silence,
                        extra=_facts(slot),
                    )
                    slot.heard_at = looked_at
                    with contextlib.suppress(ProcessLookupError):
                        slot.process.send_signal(signal.SIGKILL)

    async def _tell_dead(self, name: str) -> None:
        try:
            await self._on_dead(name)
        except StreamdError as error:
            # Its leases run out by themselves.
            logger.warning("sessions of a dead worker cannot be freed: %s", error)

    def _count(self) -> None:
        self._metrics.workers.set(len(self.pids))


def _facts(slot: _Slot) -> dict[str, object]:
    return {"pid": slot.process.pid if slot.process is not None else None, "worker": slot.name}


def _end_of(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
