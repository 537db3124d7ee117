"""Which frames are analysed: so many per second of media time. Pure.

The first frame is always taken. After it the frames nearest to a grid of ``1/fps`` are: the grid
moves on by one period with each frame taken, so that video whose own rate is no multiple of the
analysed one, or whose timestamps jitter, is still sampled at ``fps`` on average and never faster.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from streamd.kvs.fragments import FragmentEnded, FragmentEvent, Packet

__all__ = ["Due", "Sampler"]

LONGEST_STEP: Final = Fraction(1, 2)
"""Of a period: from one frame to the next, as far as it says how early a frame may be taken."""
NS_PER_SECOND: Final = 1_000_000_000


class Sampler:
    """Chooses frames of one session by their media time."""

    def __init__(self, fps: float) -> None:
        if not 1e-6 < fps <= 1000:
            raise ValueError(
                f"analysed frames per second must be above 0.000001, at most 1000, got {fps}"
            )
        # Exact, so that a day of 30/7 fps does not drift.
        self._full_period_ns = NS_PER_SECOND / Fraction(fps).limit_denominator(1_000_000)
        self._period_ns = self._full_period_ns
        self._due_ns: Fraction | None = None
        self._last_ns = 0
        self._step_ns = 0  # from one frame to the next

    def slow_to(self, share: float) -> None:
        """Take only this share of the frames from now on, above 0, at most 1."""
        self._period_ns = self._full_period_ns / Fraction(share).limit_denominator(100)

    def may_want(self, media_time_ns: int, *, within_ns: int) -> bool:
        """Whether a frame at this time may be analysed; counts nothing.

        Args:
            media_time_ns: As for :meth:`wants`, but asked ahead of it.
            within_ns: Half a step from one frame to the next, and what times are off by.

        """
        if self._due_ns is None:
            return True
        early_ns = self._due_ns - media_time_ns
        if early_ns > 0:
            return early_ns <= within_ns
        late_ns = -early_ns % self._period_ns  # behind the last time it is due
        # The one before may have been too early: then it is this one, by up to a whole step.
        latest_ns = max(Fraction(within_ns), 2 * within_ns - LONGEST_STEP * self._period_ns / 2)
        return late_ns <= latest_ns or self._period_ns - late_ns <= within_ns

    def wants(self, media_time_ns: int, *, step_ns: int | None = None) -> bool:
        """Whether the frame at this media time is analysed; counts it as taken if so.

        Args:
            media_time_ns: From :class:`streamd.ingest.timeline.Timeline`. Times that were
                passed already (a fragment read again) are not wanted a second time.
            step_ns: From one frame of the stream to the next, where not all of them are asked
                for; ``None``: since the last one.
        """
        if self._due_ns is None:
            self._due_ns, self._last_ns = media_time_ns + self._period_ns, media_time_ns
            return True
        if media_time_ns > self._last_ns:
            self._step_ns = media_time_ns - self._last_ns if step_ns is None else step_ns
            self._last_ns = media_time_ns
        early_ns = self._due_ns - media_time_ns
        # Half a step early is as near as the next frame would be late.
        if early_ns * 2 > min(Fraction(self._step_ns), LONGEST_STEP * self._period_ns):
            return False
        # After a gap the grid begins anew at this frame; what was missed is not made up for.
        late = -early_ns >= self._period_ns
        self._due_ns = (media_time_ns if late else self._due_ns) + self._period_ns
        return True


class Due:
    """Tells which events need the analysis now: a frame to analyse, the end of a fragment.

    It looks at packets, before decoding, so it may be a frame early or late where pictures are
    reordered; which frames are analysed is decided by the sampler, after decoding.
    """

    def __init__(self, fps: float) -> None:
        self._step_ms = 1000 / fps
        self._next_ms = 0.0

    def __call__(self, event: FragmentEvent) -> bool:
        """Return whether the event should be worked off at once."""
        if not isinstance(event, Packet):
            return isinstance(event, FragmentEnded)
        at_ms = event.fragment.producer_timestamp_ms + event.offset_ms
        if self._next_ms - self._step_ms <= at_ms < self._next_ms:
            return False
        self._next_ms = at_ms + self._step_ms
        return True
