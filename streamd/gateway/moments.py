"""Moments that many live producers are read on at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Moments", "Place"]

SLOTS: Final = 32
"""Moments in one period."""
ENOUGH: Final = 8
"""So many share a moment before the next one is used: a few milliseconds of an event loop."""
_BITS: Final = SLOTS.bit_length() - 1
_ORDER: Final = sorted(range(SLOTS), key=lambda slot: f"{slot:0{_BITS}b}"[::-1])
"""Slots as they are filled: each as far as can be from those before it, the half, the quarters."""


class Moments:
    """The moments of a period that comes again and again.

    One turn of the loop, and of the loops of those who read, then serves many producers; but
    not hundreds at once, for whom all others would wait.
    """

    def __init__(self, period_seconds: float) -> None:
        """Set the time between two calls of one place, in seconds above 0."""
        self._slot_seconds = period_seconds / SLOTS
        self._taken = [0] * SLOTS
        self._calls: dict[int, list[Callable[[], object]]] = {}
        """By the number of the slot, counted from the loop's beginning, that they wait for."""

    def take_place(self) -> Place:
        """Return a place among those that share a moment, where there is room."""
        taken = self._taken
        with_room = [slot for slot in _ORDER if taken[slot] < ENOUGH]
        if with_room:
            slot = max(with_room, key=taken.__getitem__)
        else:
            slot = min(_ORDER, key=taken.__getitem__)
        taken[slot] += 1
        return Place(self, slot)

    def leave(self, slot: int) -> None:
        """Give a place back; see :meth:`Place.leave`."""
        self._taken[slot] -= 1

    def at_next(self, slot: int, call: Callable[[], object]) -> None:
        """Call at a slot of every period the next time it comes."""
        loop = asyncio.get_running_loop()
        soonest = int(loop.time() / self._slot_seconds) + 1
        number = soonest + (slot - soonest) % SLOTS
        calls = self._calls.get(number)
        if calls is None:
            calls = self._calls[number] = []
            loop.call_at(number * self._slot_seconds, self._come, number)
        calls.append(call)

    def _come(self, number: int) -> None:
        for call in self._calls.pop(number):
            try:
                call()
            except Exception as error:  # noqa: BLE001  # the error of one is no other's
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a producer could not be read on", "exception": error}
                )


class Place:
    """One producer's place; made by :meth:`Moments.take_place`."""

    def __init__(self, moments: Moments, slot: int) -> None:
        self.slot = slot
        """Which of a period's moments."""
        self._moments: Moments | None = moments

    def at_next(self, call: Callable[[], object]) -> None:
        """Call this at its next moment, a period from now at most."""
        assert self._moments is not None, "who has left is not called"
        self._moments.at_next(self.slot, call)

    def leave(self) -> None:
        """Make room for others; may be called twice."""
        if self._moments is not None:
            self._moments.leave(self.slot)
            self._moments = None
