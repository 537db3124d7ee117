"""Runs of many threads in one: everybody gets its own answer, whatever happens to the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.errors import NetworkError
from processors.models.batches import Arrays, Batcher
from processors.models.onnx_graph import Graph
from processors.models.runtime import Network, RuntimeOptions


class Device:
    """Doubles rows; each run waits until it is let go."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        """Of each run that has begun."""
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def run(self, inputs: Arrays) -> list[NDArray[Any]]:
        self.rows.append(len(inputs["x"]))
        self.begun.release()
        assert self.go_on.acquire(timeout=20)
        return [2 * inputs["x"]]

    def let_go(self, runs: int) -> None:
        for _ in range(runs):
            self.go_on.release()


def _ask(pool: ThreadPoolExecutor, batcher: Batcher, numbers: Sequence[float]) -> Any:
    return pool.submit(batcher, {"x": np.array(numbers, dtype=np.float32)[:, None]})


def _waiting(batcher: Batcher, count: int) -> None:
    for _ in range(2000):
        if len(batcher._waiting) == count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{len(batcher._waiting)} calls wait, not {count}")


def test_what_comes_while_the_device_works_is_the_next_batch() -> None:
    """The first runs at once, alone; the rest together, up to the size asked for."""
    device = Device()
    batcher = Batcher(device.run, most_rows=4)
    with ThreadPoolExecutor(8) as pool:
        first = _ask(pool, batcher, [1])
        assert device.begun.acquire(timeout=20)
        futures = []
        for count, numbers in enumerate(([2], [3, 4], [5], [6]), start=1):
            futures.append(_ask(pool, batcher, numbers))
            _waiting(batcher, count)
        device.let_go(3)
        found = [future.result(20)[0].ravel().tolist() for future in (first, *futures)]
    assert found == [[2], [4], [6, 8], [10], [12]]
    assert device.rows == [1, 4, 1]


def test_a_window_waits_for_others_and_ends_when_it_is_full() -> None:
    """Although the device is idle."""
    device = Device()
    batcher = Batcher(device.run, most_rows=2, window_seconds=20)
    with ThreadPoolExecutor(2) as pool:
        futures = [_ask(pool, batcher, [number]) for number in (1, 2)]
        device.let_go(1)
        assert sorted(future.result(10)[0].item() for future in futures) == [2, 4]
    assert device.rows == [2]


def test_a_window_passes() -> None:
    """Nobody waits for ever for company."""
    device = Device()
    device.let_go(1)
    batcher = Batcher(device.run, most_rows=2, window_seconds=0.01)
    assert batcher({"x": np.ones((1, 1), np.float32)})[0].item() == 2


def test_other_sizes_are_other_batches() -> None:
    """Networks with free sides."""
    device = Device()
    batcher = Batcher(device.run, most_rows=8)
    with ThreadPoolExecutor(4) as pool:
        _ask(pool, batcher, [1])
        assert device.begun.acquire(timeout=20)
        wide = [pool.submit(batcher, {"x": np.ones((1, 2), np.float32)})]
        _waiting(batcher, 1)
        narrow = [_ask(pool, batcher, [1])]
        _waiting(batcher, 2)
        device.let_go(3)
        assert wide[0].result(20)[0].shape == (1, 2)
        assert narrow[0].result(20)[0].shape == (1, 1)
    assert device.rows == [1, 1, 1]


def _network(**options: Any) -> Network:
    graph = Graph("double")
    x = graph.input("x", "float32", ("n", 3))
    graph.output("y", ("n", 3), value=graph.add("Add", [x, x]))
    return Network(graph.serialized(), RuntimeOptions(**options))


def _doubles(call: Callable[..., list[NDArray[Any]]]) -> None:
    """Many threads call with numbers of their own."""

    def run(number: int) -> list[float]:
        [y] = call({"x": np.full((1, 3), number, dtype=np.float32)})
        found: list[float] = y.ravel().tolist()
        return found

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(300)))
    assert results == [[2.0 * number] * 3 for number in range(300)]


def test_every_thread_gets_its_own_answer() -> None:
    """Of a real network."""
    network = _network(batch_size=4, batch_window_seconds=0.001)
    assert network.is_batched
    _doubles(lambda inputs: network.run(**inputs))


@pytest.mark.parametrize("fails", [True, False], ids=["refuses", "squeezes"])
def test_a_network_that_takes_one_picture_at_a_time(fails: bool) -> None:
    """Exports have a 1 in their middle: batches are given up, and nobody gets another's answer."""
    rows: list[int] = []

    def run(inputs: Arrays) -> list[NDArray[Any]]:
        rows.append(len(inputs["x"]))
        if len(inputs["x"]) > 1 and fails:
            raise NetworkError("Reshape")
        return [(2 * inputs["x"]).reshape(1, -1)]

    _doubles(Batcher(run, most_rows=4, window_seconds=0.001))
    assert sum(count > 1 for count in rows) == 1


def test_nobody_waits_for_a_batch_that_broke() -> None:
    """Memory that is not to be had, whatever else: everybody of the batch is told."""

    def run(inputs: Arrays) -> list[NDArray[Any]]:
        raise MemoryError(len(inputs["x"]))

    batcher = Batcher(run, most_rows=4, window_seconds=0.05)
    with ThreadPoolExecutor(4) as pool:
        futures = [_ask(pool, batcher, [number]) for number in range(4)]
        for future in futures:
            assert isinstance(future.exception(20), MemoryError)


def test_an_error_is_that_of_its_call() -> None:
    """What does not fit is refused, beside what does."""
    network = _network(batch_size=4, batch_window_seconds=0.001)

    def run(number: int) -> str:
        width = 3 if number % 3 else 4
        try:
            network.run(x=np.ones((1, width), dtype=np.float32))
        except NetworkError:
            return "refused"
        return "done"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(60)))
    assert found == ["done" if number % 3 else "refused" for number in range(60)]


def test_batches_are_for_devices() -> None:
    """On a CPU they cost time and gain nothing, unless they are asked for."""
    assert not _network().is_batched
    assert not _network(batch_size=1).is_batched
    assert _network(batch_size=2).is_batched


def test_a_fixed_dimension_takes_no_batches() -> None:
    """The network says so itself."""
    graph = Graph("double")
    x = graph.input("x", "float32", (1, 3))
    graph.output("y", (1, 3), value=graph.add("Add", [x, x]))
    assert not Network(graph.serialized(), RuntimeOptions(batch_size=8)).is_batched


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"batch_window_seconds": -1.0}], ids=["size", "window"]
)
def test_impossible_batches(options: dict[str, Any]) -> None:
    """Refused where they are asked for."""
    with pytest.raises(ValueError, match="batch_"):
        RuntimeOptions(**options)
