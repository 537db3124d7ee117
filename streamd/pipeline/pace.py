"""How fast live video is analysed: the rate falls evenly before latency grows. Pure.

All live streams of a process share its threads. When frames wait longer than a bound before
they are looked at, all of them are analysed at a lower rate, one step after the other; when
there is time again the rate goes up, more slowly than it fell. Below the lowest rate decoding
itself is what there is too much of, and only keyframes are decoded. Recorded video keeps its
rate: nobody waits for it, so it is only slower.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

__all__ = ["FULL_PACE", "Pace", "PaceKeeper", "RealTime"]

LATE_SECONDS: Final = 0.4
"""Frames that wait longer than this, all of them, are too late: results are due in 300 ms."""
EARLY_SECONDS: Final = 0.15
"""Frames that wait no longer, none of them, say that there is time left."""
SLOWER_AFTER_SECONDS: Final = 1.0
LEAST_NOTED: Final = 3
"""Waits that say something about all of them: quiet streams have one in a group of pictures."""
FASTER_AFTER_SECONDS: Final = 5.0
FASTER_AFTER_MOST_SECONDS: Final = 80.0
"""A step up that had to be taken back makes the next one wait twice as long."""
AHEAD_MS: Final = 1_000
"""Media that runs further ahead of the clock than it did is being sent faster than real time."""
_WINDOW_MS: Final = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How much of live video is analysed."""

    share: float
    """Of the analysed frames per second that were asked for."""
    keyframes_only: bool = False


FULL_PACE: Final = Pace(share=1.0)
STEPS: Final = (
    FULL_PACE,
    Pace(share=0.8),
    Pace(share=0.6),
    Pace(share=0.4),
    Pace(share=0.2),
    Pace(share=0.2, keyframes_only=True),
)
"""From what was asked for to what costs a tenth of it."""


class PaceKeeper:
    """Chooses one step for all live streams of a process by how long their frames wait.

    Safe from many threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._step = 0
        self._faster_after_seconds = FASTER_AFTER_SECONDS
        self._since_seconds: float | None = None
        self._window_seconds = 0.0
        self._noted = 0  # waits since then
        self._least = float("inf")  # wait since the window began
        self._most = 0.0  # wait since the last step

    @property
    def pace(self) -> Pace:
        """The pace of now."""
        return STEPS[self._step]

    def note(self, wait_seconds: float, *, now_seconds: float) -> Pace:
        """Count how long live frames had waited when their analysis began.

        Args:
            wait_seconds: From the arrival of the last one.
            now_seconds: By the monotonic clock.

        Returns:
            The pace from now on.

        """
        with self._lock:
            self._note(wait_seconds, now_seconds)
            return self.pace

    def _note(self, wait_seconds: float, now_seconds: float) -> None:
        if self._since_seconds is None:
            self._since_seconds = self._window_seconds = now_seconds
        self._noted += 1
        self._least = min(self._least, wait_seconds)
        self._most = max(self._most, wait_seconds)
        lasted = now_seconds - self._since_seconds
        lasts = now_seconds - self._window_seconds
        if lasts >= SLOWER_AFTER_SECONDS and self._noted >= LEAST_NOTED:
            # The least of them: one hiccup is no overload.
            is_late = self._least > LATE_SECONDS
            self._window_seconds, self._least = now_seconds, float("inf")
            self._noted = 0
            if is_late:
                self._go_slower(now_seconds, lasted)
            elif lasted >= self._faster_after_seconds:
                self._go_faster(now_seconds)

    def _go_slower(self, now_seconds: float, lasted: float) -> None:
        if lasted < self._faster_after_seconds and self._step < len(STEPS) - 1:
            self._faster_after_seconds = min(
                2 * self._faster_after_seconds, FASTER_AFTER_MOST_SECONDS
            )
        self._step = min(self._step + 1, len(STEPS) - 1)
        self._since_seconds, self._most = now_seconds, 0.0

    def _go_faster(self, now_seconds: float) -> None:
        if self._most <= EARLY_SECONDS:
            if self._step == 0:
                self._faster_after_seconds = FASTER_AFTER_SECONDS
            self._step = max(self._step - 1, 0)
        self._since_seconds, self._most = now_seconds, 0.0


class RealTime:
    """Tells live media from media that is sent as fast as it goes: a file, or a buffer caught up.

    The second is not slowed down by anybody's overload: nobody waits for its frames one by one.
    """

    def __init__(self) -> None:
        self._window_ms = 0
        self._least_ms = self._least_before_ms = float("inf")

    def note(self, media_ms: float, *, epoch_ms: int) -> bool:
        """Count a frame; returns whether its stream comes in real time.

        Args:
            media_ms: The producer's time of the frame, by whatever clock.
            epoch_ms: When it arrived.

        """
        ahead_ms = media_ms - epoch_ms
        if epoch_ms - self._window_ms >= _WINDOW_MS:
            self._least_before_ms, self._least_ms = self._least_ms, ahead_ms
            self._window_ms = epoch_ms
        self._least_ms = min(self._least_ms, ahead_ms)
        return ahead_ms - min(self._least_ms, self._least_before_ms) <= AHEAD_MS
