"""The blocking half of a session: packets in, frames decoded and analysed, results in the outbox.

One chain belongs to one session and is used by one thread at a time, on the analysis pool.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from processors.picture import Picture
from streamd.clock import Clock
from streamd.config import AnalysisSettings
from streamd.ingest.decode import DecodedFrame, Decoder, DecoderStats
from streamd.ingest.errors import DecodeError
from streamd.ingest.timeline import Timeline
from streamd.kvs.fragments import (
    FragmentEnded,
    FragmentEvent,
    FragmentStarted,
    Packet,
)
from streamd.metrics import Metrics
from streamd.pipeline.outbox import Outbox
from streamd.pipeline.progress import SessionProgress
from streamd.pipeline.sampling import Sampler
from streamd.records import FramePosition, OutboxItem

__all__ = ["Arrival", "FrameAnalysis", "MediaChain"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An event of the source and when it came."""

    event: FragmentEvent
    epoch_ms: int


class FrameAnalysis(Protocol):
    """One kind of stream processor: what it makes of frames."""

    kind: str

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


class MediaChain:
    """Decodes, samples, analyses and writes down, batch by batch."""

    def __init__(
        self,
        *,
        processor_name: str,
        analysis: FrameAnalysis,
        outbox: Outbox,
        progress: SessionProgress,
        settings: AnalysisSettings,
        max_duration_ms: int | None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._name = processor_name
        self._analysis = analysis
        self._outbox = outbox
        self.progress = progress
        self._max_duration_ms = max_duration_ms
        self._metrics = metrics
        self._clock = clock
        self._decoder = Decoder(max_frame_pixels=settings.max_frame_pixels)
        self._timeline = Timeline()
        self._sampler = Sampler(fps=settings.fps)
        self._packets: list[Packet] = []
        self._lengths: dict[str, _Length] = {}
        self._arrived_ms = 0
        self._counted = DecoderStats()

    def process(self, batch: Sequence[Arrival]) -> bool:
        """Analyse what the batch completes; returns whether the session's time is over.

        Raises:
            SessionFailedError: If the session cannot go on.
            OutboxError: If results cannot be kept.

        """
        for arrival in batch:
            self._arrived_ms = arrival.epoch_ms
            event = arrival.event
            if isinstance(event, FragmentStarted):
                # Seen again after a cut: what was counted of it is counted again.
                self._lengths[event.fragment.number] = _Length()
            elif isinstance(event, Packet):
                self._packets.append(event)
                self._lengths[event.fragment.number].add(event.offset_ns)
            elif isinstance(event, FragmentEnded):
                self._decode()
                self._decoder.end_fragment(event.fragment)
                self._complete_fragments()
                if self._is_over:
                    return True
        self._decode()
        return False

    def finish(self, failure: str | None) -> None:
        """Analyse what the decoder still holds and write what the end of the session adds.

        Args:
            failure: Why the session ends FAILED, ``None`` for a good end.

        """
        if failure is None:
            self._decode()
            self._analyze(self._decoder.drain())
            self._complete_fragments()
        items = self._analysis.finish(progress=self.progress, failure=failure)
        self._outbox.append(items, state=self._state())

    def close(self) -> None:
        """Let go of the decoder and the outbox; may be called twice."""
        self._decoder.close()
        self._outbox.close()

    @property
    def _is_over(self) -> bool:
        # "The check happens at the end of a fragment" (Developer Guide, streaming video events).
        limit = self._max_duration_ms
        return limit is not None and self._processed_ms >= limit

    @property
    def _processed_ms(self) -> int:
        """Media time of all fragments read to their end, those still in the decoder included."""
        return self.progress.processed_ms + sum(
            length.milliseconds for length in self._lengths.values()
        )

    def _decode(self) -> None:
        packets, self._packets = self._packets, []
        if not packets:
            return
        try:
            self._analyze(self._decoder.decode(packets))
        except DecodeError as error:
            # The rest of the fragment is lost; the next one may be fine, or a camera mended.
            self._count_damage(type(error).__name__)
            logger.warning(
                "video cannot be decoded: %s",
                error,
                extra={"stream_processor": self._name, "fragment": packets[0].fragment.number},
            )
        finally:
            self._count_decoded()
        self._complete_fragments()

    def _analyze(self, frames: Iterable[DecodedFrame]) -> None:
        for frame in frames:
            moment = self._timeline.place(frame.fragment, frame.offset_ns)
            if self._sampler.wants(moment.media_time_ns):
                self._analyze_frame(frame)

    def _analyze_frame(self, frame: DecodedFrame) -> None:
        fragment = frame.fragment
        position = FramePosition(
            fragment_number=fragment.number,
            server_timestamp_ms=fragment.server_timestamp_ms,
            producer_timestamp_ms=fragment.producer_timestamp_ms,
            frame_offset_ns=frame.offset_ns,
        )
        if self.progress.has_passed(position):
            return
        started = self._clock.monotonic()
        try:
            items = self._analysis.analyze(
                frame, position, progress=self.progress, arrived_ms=self._arrived_ms
            )
        except DecodeError as error:
            self._count_damage(type(error).__name__)
            logger.warning("frame passed over: %s", error, extra={"stream_processor": self._name})
            return
        self._metrics.analysis_seconds.labels(self._analysis.kind).observe(
            self._clock.monotonic() - started
        )
        self.progress.position = position
        if items:
            # Without results nothing is written: after a crash the frame is analysed again.
            self._outbox.append(items, state=self._state())
        self._metrics.frames_analyzed.labels(self._name).inc()
        lag = self._clock.epoch() - self._arrived_ms / 1000
        self._metrics.lag_seconds.labels(self._name).set(max(0.0, lag))

    def _complete_fragments(self) -> None:
        for fragment in self._decoder.completed_fragments():
            self.progress.last_fragment_number = fragment.number
            length = self._lengths.pop(fragment.number, None)
            self.progress.processed_ms += length.milliseconds if length else 0
            items = self._analysis.fragment_done(fragment.number, progress=self.progress)
            self._outbox.append(items, fragment_done=fragment.number, state=self._state())
            self._metrics.fragments_processed.labels(self._name).inc()

    def _state(self) -> bytes:
        return self.progress.model_dump_json().encode()

    def _count_decoded(self) -> None:
        now, before = self._decoder.stats, self._counted
        self._metrics.frames_decoded.labels(self._name).inc(now.frames - before.frames)
        damaged = now.damaged_packets + now.corrupt_frames
        damaged -= before.damaged_packets + before.corrupt_frames
        if damaged:
            self._metrics.fragments_damaged.labels(self._name, "packets").inc(damaged)
        self._counted = replace(now)

    def _count_damage(self, reason: str) -> None:
        self._metrics.fragments_damaged.labels(self._name, reason).inc()


class _Length:
    """How long a fragment is: from its first to its last picture, and one picture more."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last = 0
        self._count = 0

    def add(self, offset_ns: int) -> None:
        self._first = offset_ns if self._first is None else min(self._first, offset_ns)
        self._last = max(self._last, offset_ns)
        self._count += 1

    @property
    def milliseconds(self) -> int:
        if self._first is None or self._count < 2:
            return 0
        return round((self._last - self._first) * self._count / (self._count - 1) / 1_000_000)
