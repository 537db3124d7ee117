"""The bridge from threads to the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streamd.pipeline.handoff import Signal


async def test_a_thread_wakes_a_task() -> None:
    """A task that waits goes on when a thread sets the signal."""
    signal = Signal(asyncio.get_running_loop())
    thread = threading.Thread(target=signal.set)
    thread.start()
    async with asyncio.timeout(5):
        await signal.wait()
    thread.join()


async def test_a_signal_given_before_the_wait_is_not_lost() -> None:
    """Set first, wait later."""
    signal = Signal(asyncio.get_running_loop())
    await asyncio.to_thread(signal.set)
    async with asyncio.timeout(5):
        await signal.wait()


async def test_many_signals_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy thread does not flood the loop with callbacks."""
    loop = asyncio.get_running_loop()
    signal = Signal(loop)
    calls = []
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: calls.append(args))
    for _ in range(100):
        signal.set()
    assert len(calls) == 1


async def test_a_cleared_signal_can_be_given_again() -> None:
    """After clear, only a new set wakes."""
    signal = Signal(asyncio.get_running_loop())
    signal.set()
    await signal.wait()
    signal.clear()
    signal.set()
    async with asyncio.timeout(5):
        await signal.wait()


def test_a_closed_loop_is_no_error_for_the_thread() -> None:
    """A thread that is late to finish its job does not fail on it."""
    loop = asyncio.new_event_loop()
    signal = Signal(loop)
    loop.close()
    signal.set()
