"""The blocking half of a session: frames in, analysed, results in the outbox.

One chain belongs to one session and is used by one thread at a time, on the analysis pool.
The frames come from a feed, which sessions on one stream share.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Protocol

from processors.picture import Picture
from processors.roi import Regions
from streamd.clock import Clock
from streamd.ingest.errors import DecodeError
from streamd.metrics import Metrics
from streamd.pipeline.finds import Find
from streamd.pipeline.frames import FragmentDone, FragmentRead, Frame, Output
from streamd.pipeline.outbox import Outbox
from streamd.pipeline.progress import SessionProgress
from streamd.records import FramePosition, OutboxItem

__all__ = ["FrameAnalysis", "FrameWatcher", "MediaChain"]

logger = logging.getLogger(__name__)


class FrameAnalysis(Protocol):
    """One kind of stream processor: what it makes of frames."""

    kind: str
    regions: Regions
    """Regions of interest; none: the whole picture."""
    has_found: bool
    """Whether the last frame showed something of what is looked for."""

    @property
    def finds(self) -> Sequence[Find]:
        """What the last frame showed."""

    def analyze(
        self,
        picture: Picture,
        position: FramePosition,
        *,
        progress: SessionProgress,
        arrived_ms: int,
    ) -> list[OutboxItem]:
        """Return the results of one frame."""

    def fragment_done(self, fragment_number: str, *, progress: SessionProgress) -> list[OutboxItem]:
        """Return what the end of a fragment adds."""

    def finish(self, *, progress: SessionProgress, failure: str | None) -> list[OutboxItem]:
        """Return what the end of the session adds."""


class FrameWatcher(Protocol):
    """Somebody who looks on, beside the outbox."""

    def see(self, picture: Picture, position: FramePosition, finds: Sequence[Find]) -> None:
        """Look at a frame that was analysed; raises nothing."""

    def close(self) -> None:
        """Look no more; may be called twice."""


class MediaChain:
    """Analyses frames and writes the results down."""

    def __init__(
        self,
        *,
        processor_name: str,
        analysis: FrameAnalysis,
        outbox: Outbox,
        progress: SessionProgress,
        max_duration_ms: int | None,
        metrics: Metrics,
        clock: Clock,
        watcher: FrameWatcher | None = None,
    ) -> None:
        self._name = processor_name
        self._watcher = watcher
        self._analysis = analysis
        self._outbox = outbox
        self.progress = progress
        self._max_duration_ms = max_duration_ms
        self._metrics = metrics
        self._clock = clock
        self._lengths_ms: dict[str, int] = {}
        self._last: int | None = None
        """Number of the fragment the session's time ends with, once that was read."""
        self.has_found = False
        """Whether the last frame it took showed something of what is looked for."""
        self.is_over = False
        """The session's time is over and everything that belongs to it was analysed."""

    @property
    def regions(self) -> Regions:
        """Regions of interest; none: the whole picture."""
        return self._analysis.regions

    @property
    def awaits_end(self) -> bool:
        """Whether all there is to read was read: what the decoder holds is wanted, no more."""
        return self._last is not None

    def take(self, output: Output) -> None:
        """Use what the feed gives out; what was seen before is passed over.

        Raises:
            SessionFailedError: If the session cannot go on.
            OutboxError: If results cannot be kept.

        """
        self.has_found = False
        if self.is_over:
            return
        if isinstance(output, Frame):
            self._take_frame(output)
        elif isinstance(output, FragmentRead):
            self._note_length(output)
        elif isinstance(output, FragmentDone):
            self._complete(output.number)

    def finish(self, failure: str | None) -> None:
        """Write what the end of the session adds.

        Args:
            failure: Why the session ends FAILED, ``None`` for a good end.

        """
        items = self._analysis.finish(progress=self.progress, failure=failure)
        self._outbox.append(items, state=self._state())

    def close(self) -> None:
        """Let go of the outbox; may be called twice."""
        if self._watcher is not None:
            self._watcher.close()
        self._outbox.close()
        # Nobody is behind any more, here: the next holder says how far it is.
        self._metrics.lag_seconds.labels(self._name).set(math.nan)

    def _note_length(self, read: FragmentRead) -> None:
        if self.progress.has_completed(read.number) or self.awaits_end:
            return
        self._lengths_ms[read.number] = read.length_ms
        # "The check happens at the end of a fragment" (Developer Guide, streaming video events).
        # Fragments still in the decoder count.
        passed_ms = self.progress.processed_ms + sum(self._lengths_ms.values())
        if self._max_duration_ms is not None and passed_ms >= self._max_duration_ms:
            self._last = int(read.number)

    def _take_frame(self, frame: Frame) -> None:
        position = frame.position
        if self.progress.has_passed(position):
            return
        if self._last is not None and int(position.fragment_number) > self._last:
            return
        started = self._clock.monotonic()
        try:
            items = self._analysis.analyze(
                frame.picture, position, progress=self.progress, arrived_ms=frame.arrived_ms
            )
        except DecodeError as error:
            self._metrics.fragments_damaged.labels(self._name, type(error).__name__).inc()
            logger.warning(
                "frame passed over: %s",
                error,
                extra={
                    "stream_processor": self._name,
                    "session": self.progress.session_id,
                    "fragment": position.fragment_number,
                },
            )
            return
        self._metrics.analysis_seconds.labels(self._analysis.kind).observe(
            self._clock.monotonic() - started
        )
        self.has_found = self._analysis.has_found
        self.progress.position = position
        if items:
            # Without results nothing is written: after a crash the frame is analysed again.
            self._outbox.append(items, state=self._state())
        self._metrics.frames_analyzed.labels(self._name).inc()
        lag = self._clock.epoch() - frame.arrived_ms / 1000
        self._metrics.lag_seconds.labels(self._name).set(max(0.0, lag))
        if self._watcher is not None:
            self._watcher.see(frame.picture, position, self._analysis.finds)

    def _complete(self, number: str) -> None:
        if self.progress.has_completed(number):
            return
        self.progress.last_fragment_number = number
        self.progress.processed_ms += self._lengths_ms.pop(number, 0)
        items = self._analysis.fragment_done(number, progress=self.progress)
        self._outbox.append(items, fragment_done=number, state=self._state())
        self._metrics.fragments_processed.labels(self._name).inc()
        self.is_over = self._last is not None and int(number) >= self._last

    def _state(self) -> bytes:
        return self.progress.model_dump_json().encode()
