"""Packets that need not be decoded: no other picture refers to theirs, and nobody wants it. Pure.

Streams with B-frames have many of them; between two frames to analyse, half of a stream or more.
Streams that come in the order they are shown have hardly any, and are not even looked at.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final

from streamd.gate.codecs import heads_of
from streamd.gate.errors import HeadError
from streamd.gate.heads import Heads
from streamd.ingest.timeline import start_ns
from streamd.kvs.fragments import Packet
from streamd.pipeline.sampling import Sampler

__all__ = ["FrameSkipper"]

MOST_REORDERED: Final = 8
TIMES_KEPT: Final = 4 * MOST_REORDERED
ROUNDED_NS: Final = 2_000_000
REGULAR: Final = 1.5
"""The longest step between frames of a regular stream, in the shortest."""


class FrameSkipper:
    """Says of packets in decoding order whether they may be passed over."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._codec: tuple[str, bytes] | None = None
        self._heads: Heads | None = None
        self._times: deque[int] = deque(maxlen=TIMES_KEPT)
        self._is_reordered = False
        self._shift_ns: int | None = None

    def note_frame(self, source_ns: int, media_time_ns: int) -> int | None:
        """Take note of the media time of a frame that was decoded.

        Returns:
            From the frame before it as they are shown, decoded or not; ``None`` if unknown.

        """
        self._shift_ns = media_time_ns - source_ns
        if not self._is_reordered:
            return None
        before = [at for at in self._times if at < source_ns]
        return source_ns - max(before) if before else None

    def __call__(self, packet: Packet) -> bool:
        """Return whether the packet may be passed over."""
        at = start_ns(packet.fragment) + packet.offset_ns
        self._is_reordered = self._is_reordered or bool(self._times and at < self._times[-1])
        self._times.append(at)
        if not self._is_reordered or self._shift_ns is None:
            return False
        # Keyframes are read for the parameter sets they may carry.
        is_disposable = self._is_disposable(packet)
        step_ns = self._step_ns()
        if packet.keyframe or not is_disposable or step_ns is None:
            return False
        # The nearest to when a frame is due is wanted; times are rounded to milliseconds.
        near_ns = step_ns // 2 + ROUNDED_NS
        return not self._sampler.may_want(at + self._shift_ns, within_ns=near_ns)

    def _step_ns(self) -> int | None:
        """Return the time between frames as they are shown; ``None`` where that varies."""
        times = sorted(self._times)
        # The newest are incomplete, what lies between them comes later; the oldest are, too.
        middle = times[MOST_REORDERED:-MOST_REORDERED]
        steps = [b - a for a, b in itertools.pairwise(middle) if b > a]
        if len(steps) < MOST_REORDERED or max(steps) > REGULAR * min(steps):
            return None
        return max(steps)

    def _is_disposable(self, packet: Packet) -> bool:
        track = packet.fragment.video
        assert track is not None, "packets come from a video track"
        if (track.codec_id, track.codec_private) != self._codec:
            self._codec = (track.codec_id, track.codec_private)
            self._heads = heads_of(track.codec_id, track.codec_private)
        if self._heads is None:
            return False
        try:
            return self._heads.read(packet.data).is_disposable
        except HeadError:
            return False
