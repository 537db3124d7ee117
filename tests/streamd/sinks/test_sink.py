"""The half of a sink that blocking sinks share."""

from __future__ import annotations

import threading

from streamd.sinks.sink import BlockingSink


async def test_blocking_calls_run_in_named_threads() -> None:
    """A thread dump says which sink a call belongs to."""
    sink = BlockingSink("test", threads=1)
    name = await sink.run(lambda: threading.current_thread().name)
    await sink.aclose()
    assert name.startswith("sink-test")


async def test_closing_does_not_wait_for_a_call_under_way() -> None:
    """A server that never answers does not keep the daemon from stopping."""
    sink = BlockingSink("test", threads=1)
    entered, leave = threading.Event(), threading.Event()

    def call() -> None:
        entered.set()
        leave.wait(30)

    sink._executor.submit(call)
    entered.wait(30)
    await sink.aclose()
    await sink.aclose()
    leave.set()
