"""A pool of threads in which work stays where it was.

``ThreadPoolExecutor`` hands its jobs round among all threads. With fewer streams than threads
each job then finds the decoder's pictures and the network's weights in the other core's cache:
4 % more CPU for one busy stream (measured).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

__all__ = ["WarmThreads"]

P = ParamSpec("P")
T = TypeVar("T")


class WarmThreads(Executor):
    """Jobs begin in order of arrival, on the idle thread that was the last at work."""

    def __init__(self, count: int, *, name: str) -> None:
        """Make a pool; threads begin when they are needed.

        Args:
            count: Most jobs at once.
            name: Of the threads, with a number behind it.

        """
        self._count = count
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle: list[_Inbox] = []
        self._waiting: deque[_Job] = deque()
        self._is_shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See :meth:`concurrent.futures.Executor.submit`."""
        future: Future[T] = Future()
        job = _Job(future, partial(fn, *args, **kwargs))
        with self._lock:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._idle:
                self._idle.pop().put(job)
            elif len(self._threads) < self._count:
                self._begin(job)
            else:
                self._waiting.append(job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # Executor's
        """See :meth:`concurrent.futures.Executor.shutdown`."""
        with self._lock:
            self._is_shut = True
            dropped = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
            for inbox in self._idle:
                inbox.put(None)
            self._idle.clear()
        for job in dropped:
            job.future.cancel()
        if wait:
            for thread in self._threads:
                thread.join()

    def _begin(self, job: _Job) -> None:
        inbox: _Inbox = SimpleQueue()
        inbox.put(job)
        # Whoever forgets to shut the pool can end all the same.
        thread = threading.Thread(
            target=self._work, args=(inbox,), name=f"{self._name}_{len(self._threads)}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _work(self, inbox: _Inbox) -> None:
        while (job := inbox.get()) is not None:
            job.run()
            del job  # what it holds, pictures maybe, is not for the next one to wait with
            with self._lock:
                if self._waiting:
                    inbox.put(self._waiting.popleft())
                elif self._is_shut:
                    return
                else:
                    self._idle.append(inbox)


class _Job:
    """A call that is waited for."""

    def __init__(self, future: Future[Any], call: Callable[[], object]) -> None:
        self.future = future
        self._call = call

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001  # it is the caller's
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


_Inbox = SimpleQueue[_Job | None]
"""The next job of one thread; ``None``: there will be none."""
