"""Worker processes: started, told to look at the store, started again when they crash.

The pipe to a worker's standard input carries its settings first, then one line per wake-up;
its end tells the worker to drain and leave, so no worker outlives the control process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence

from streamd import metrics as metrics_module
from streamd.metrics import Metrics
from streamd.retry import Backoff

__all__ = ["WorkerSupervisor"]

logger = logging.getLogger(__name__)

STABLE_SECONDS = 30.0
"""A worker that lived this long starts again without waiting."""


class WorkerSupervisor:
    """Keeps one worker process for each setup line running until :meth:`aclose`."""

    def __init__(self, *, setup_lines: Sequence[str], metrics: Metrics) -> None:
        self._setup_lines = setup_lines
        self._metrics = metrics
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that live now."""
        return tuple(p.pid for p in self._processes.values() if p.returncode is None)

    async def start(self) -> None:
        """Start all workers; returns when their processes exist."""
        for index in range(len(self._setup_lines)):
            process = await self._spawn(index)
            task = asyncio.create_task(self._watch(index, process), name=f"worker-{index}")
            self._tasks.append(task)

    def wake(self) -> None:
        """Tell every worker to look at the store now instead of at its next poll."""
        for process in self._processes.values():
            # A broken pipe is seen by the watcher of that worker.
            if process.stdin is not None and not process.stdin.is_closing():
                process.stdin.write(b"\n")

    async def aclose(self, *, drain_seconds: float) -> None:
        """Let the workers drain; kill those that need longer than ``drain_seconds``."""
        self._stopping = True
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        try:
            async with asyncio.timeout(drain_seconds):
                await asyncio.gather(*(p.wait() for p in self._processes.values()))
        except TimeoutError:
            for process in self._processes.values():
                if process.returncode is None:
                    logger.warning("worker did not drain in time", extra={"pid": process.pid})
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _spawn(self, index: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streamd.worker",
            stdin=asyncio.subprocess.PIPE,
            # Streams are the parallelism: numpy's own threads would only fight over the cores.
            env={"OPENBLAS_NUM_THREADS": "1", **os.environ},
            # Ctrl-C in a terminal must reach the control process alone.
            start_new_session=True,
        )
        self._processes[index] = process
        assert process.stdin is not None
        process.stdin.write(self._setup_lines[index].encode() + b"\n")
        return process

    async def _watch(self, index: int, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(base_seconds=0.2, cap_seconds=10.0)
        while True:
            started = loop.time()
            code = await process.wait()
            metrics_module.forget_process(process.pid)
            if self._stopping:
                return
            logger.error(
                "worker ended unexpectedly, starting another",
                extra={"pid": process.pid, "exit_code": code},
            )
            self._metrics.worker_restarts.inc()
            if loop.time() - started > STABLE_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.next_delay())
            process = await self._spawn(index)
