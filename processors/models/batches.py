"""Runs of many threads taken together: a GPU works on several pictures in little more than one's time.

What comes while the device is at work is one batch, the next one. So nobody waits for a batch to
fill where there is nobody to share it with, and the busier the device the larger the batches. On
a CPU a batch costs what its pictures cost one by one (measured), and waiting for others time.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.errors import NetworkError

__all__ = ["Batcher"]

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], list[NDArray[Any]]]


class Batcher:
    """Shares a network's runs between threads; the rows of a batch are pictures."""

    def __init__(self, run: Run, *, most_rows: int, window_seconds: float = 0.0) -> None:
        """Make one for a network whose inputs and outputs have a free first dimension.

        Args:
            run: Runs the network.
            most_rows: Of one run; what has more by itself runs alone.
            window_seconds: How long the first of a batch waits for others although the device
                is idle.

        """
        self._run = run
        self._most_rows = most_rows
        self._window_seconds = window_seconds
        self._lock = threading.Lock()
        self._is_full = threading.Condition(self._lock)
        self._waiting: deque[_Call] = deque()
        self._is_running = False
        self._runs_alone = False  # the network takes one at a time after all

    def __call__(self, inputs: Arrays) -> list[NDArray[Any]]:
        """Run the network on arrays of the same number of rows, with what others bring.

        Raises:
            NetworkError: If the arrays do not fit the network.

        """
        if self._runs_alone:
            return self._run(inputs)
        call = _Call(inputs)
        with self._lock:
            self._waiting.append(call)
            leads = not self._is_running
            self._is_running = True
            if not leads and self._waiting_rows() >= self._most_rows:
                self._is_full.notify()
        if not leads:
            call.turn.wait()
            leads = not call.is_over
        if leads:
            try:
                self._run_next()
            finally:
                self._hand_on()
        return call.result()

    def _run_next(self) -> None:
        """Run those that wait longest, one's own among them."""
        with self._lock:
            if self._window_seconds:
                self._is_full.wait_for(
                    lambda: self._waiting_rows() >= self._most_rows, self._window_seconds
                )
            batch = self._take()
        try:
            self._end(batch)
        except Exception as error:  # noqa: BLE001  # raised again in each call's own thread
            # Or those who wait for the others would wait for ever.
            for call in batch:
                call.end(error)

    def _end(self, batch: Sequence[_Call]) -> None:
        """Give every call its answer."""
        if len(batch) > 1 and (answers := self._together(batch)) is not None:
            for call, answer in zip(batch, answers, strict=True):
                call.end(answer)
            return
        for call in batch:
            try:
                call.end(self._run(call.inputs))
            except NetworkError as error:
                call.end(error)
        if len(batch) > 1 and not any(call.has_failed for call in batch):
            logger.warning("a network takes one picture at a time: batches of it are given up")
            self._runs_alone = True

    def _hand_on(self) -> None:
        """Let the first that waits run the next batch."""
        with self._lock:
            self._is_running = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.set()

    def _take(self) -> list[_Call]:
        first = self._waiting.popleft()
        batch, rows = [first], first.rows
        while self._waiting:
            following = self._waiting[0]
            if following.kind != first.kind or rows + following.rows > self._most_rows:
                break
            batch.append(self._waiting.popleft())
            rows += following.rows
        return batch

    def _together(self, batch: Sequence[_Call]) -> list[list[NDArray[Any]]] | None:
        """Run a batch; ``None`` if that is not how the network, or the device, can be run."""
        together = {
            name: np.concatenate([call.inputs[name] for call in batch]) for name in batch[0].inputs
        }
        ends = np.cumsum([call.rows for call in batch])
        try:
            outputs = self._run(together)
        except NetworkError as error:
            logger.warning("a batch of %d pictures failed: %s", ends[-1], error)
            return None
        # Exports often name the dimension free and have a 1 in their middle.
        if not outputs or any(len(output) != ends[-1] for output in outputs):
            return None
        parts = [np.split(output, ends[:-1]) for output in outputs]
        return [list(of_call) for of_call in zip(*parts, strict=True)]

    def _waiting_rows(self) -> int:
        return sum(call.rows for call in self._waiting)


class _Call:
    """One thread's arrays, and what comes of them."""

    def __init__(self, inputs: Arrays) -> None:
        self.inputs = inputs
        self.rows = len(next(iter(inputs.values()))) if inputs else 1
        self.kind = {name: (array.shape[1:], array.dtype) for name, array in inputs.items()}
        """What can be run together is of one kind."""
        self.turn = threading.Event()
        """It is over, or its thread is to run the next batch."""
        self.is_over = False
        self._answer: list[NDArray[Any]] | Exception = []

    @property
    def has_failed(self) -> bool:
        return isinstance(self._answer, Exception)

    def end(self, answer: list[NDArray[Any]] | Exception) -> None:
        if self.is_over:
            return
        self._answer = answer
        self.is_over = True
        self.turn.set()

    def result(self) -> list[NDArray[Any]]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer
