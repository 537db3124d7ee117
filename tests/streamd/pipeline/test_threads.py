"""The pool of the analysis: order, warmth, errors, and the end."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from streamd.pipeline.threads import WarmThreads


@pytest.fixture
def pool() -> Iterator[WarmThreads]:
    made = WarmThreads(3, name="test")
    yield made
    made.shutdown(cancel_futures=True)


class Gate:
    """A job that stays in its thread until it is let go."""

    def __init__(self) -> None:
        self.begun, self._go_on = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self._go_on.wait(20)
        return threading.current_thread().name

    def open(self) -> None:
        self._go_on.set()


def _where(pool: WarmThreads) -> str:
    return pool.submit(lambda: threading.current_thread().name).result(20)


def _settled(pool: WarmThreads, threads: int) -> None:
    """Wait until so many threads are idle: a result is told a moment before."""
    for _ in range(2000):
        if len(pool._idle) == threads:
            return
        threading.Event().wait(0.005)
    raise AssertionError("threads stay busy")


def test_one_stream_stays_on_one_thread(pool: WarmThreads) -> None:
    """Threads that are not needed do not even begin."""
    names = set()
    for _ in range(20):
        names.add(_where(pool))
        _settled(pool, 1)
    assert names == {"test_0"}


def test_the_last_at_work_is_the_first(pool: WarmThreads) -> None:
    """Of several idle threads the one whose caches are warm."""
    gates = [Gate() for _ in range(3)]
    futures = [pool.submit(gate) for gate in gates]
    for gate in gates:
        assert gate.begun.wait(20)
    for idle, which in enumerate((2, 0, 1), start=1):
        gates[which].open()
        name = futures[which].result(20)
        _settled(pool, idle)
        assert _where(pool) == name
        _settled(pool, idle)


def test_jobs_begin_in_order(pool: WarmThreads) -> None:
    """No more at once than there are threads; the rest waits its turn."""
    gates = [Gate() for _ in range(3)]
    blocked = [pool.submit(gate) for gate in gates]
    begun: list[int] = []
    waiting = [pool.submit(begun.append, number) for number in range(50)]
    assert not begun
    gates[0].open()
    for future in waiting:
        future.result(20)
    assert begun == list(range(50))
    for gate in gates:
        gate.open()
    assert {future.result(20) for future in blocked} == {"test_0", "test_1", "test_2"}


def test_an_error_is_the_callers(pool: WarmThreads) -> None:
    """And the thread lives on."""
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(20)
    _settled(pool, 1)
    assert _where(pool) == "test_0"


def test_who_gave_up_waiting_is_passed_over(pool: WarmThreads) -> None:
    """A job that was cancelled before it began never does."""
    gates = [Gate() for _ in range(3)]
    for gate in gates:
        pool.submit(gate)
    done: list[int] = []
    first, second = pool.submit(done.append, 1), pool.submit(done.append, 2)
    assert first.cancel()
    for gate in gates:
        gate.open()
    second.result(20)
    assert done == [2]


def test_nothing_is_held_while_idle(pool: WarmThreads) -> None:
    """A decoded picture takes 3 MB."""

    class Picture:
        pass

    picture = Picture()
    reference = weakref.ref(picture)
    pool.submit(id, picture).result(20)
    del picture
    _settled(pool, 1)
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("drops", [False, True])
def test_shutdown_waits_for_what_runs(drops: bool) -> None:
    """What waits is worked off, or dropped; then nothing more is taken."""
    pool = WarmThreads(1, name="test")
    gate = Gate()
    running, waiting = pool.submit(gate), pool.submit(int)
    assert gate.begun.wait(20)
    closing = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": drops})
    closing.start()
    if drops:
        with pytest.raises(CancelledError):
            waiting.result(20)
    gate.open()
    closing.join(20)
    assert not closing.is_alive()
    assert running.done()
    if not drops:
        assert waiting.result(0) == 0
    with pytest.raises(RuntimeError):
        pool.submit(int)
