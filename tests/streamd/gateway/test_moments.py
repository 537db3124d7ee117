"""What is asked for at different times happens at the same moment."""

from __future__ import annotations

import asyncio

from streamd.gateway.moments import Moments


async def test_who_asks_between_two_moments_is_called_at_the_second() -> None:
    """Together, in order, once, and not before it."""
    moments, loop = Moments(0.2), asyncio.get_running_loop()
    called: list[tuple[str, float]] = []
    came = asyncio.Event()

    def note(name: str) -> None:
        called.append((name, loop.time()))
        if name == "two":
            came.set()

    await asyncio.sleep(0.2 - loop.time() % 0.2)
    asked = loop.time()
    moments.at_next(lambda: note("one"))
    await asyncio.sleep(0.02)
    moments.at_next(lambda: note("two"))
    await came.wait()
    assert [name for name, _ in called] == ["one", "two"]
    assert called[0][1] // 0.2 > asked // 0.2
    came.clear()
    moments.at_next(lambda: note("two"))
    await came.wait()
    assert len(called) == 3
    assert called[2][1] // 0.2 > called[1][1] // 0.2


async def test_an_error_is_no_others() -> None:
    """Who comes after it is called all the same."""
    moments, came = Moments(0.01), asyncio.Event()
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail() -> None:
        raise OSError("gone")

    moments.at_next(fail)
    moments.at_next(came.set)
    await came.wait()
    assert [type(each) for each in told] == [OSError]
