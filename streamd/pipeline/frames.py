"""Events of a stream in, sampled frames and the ends of fragments out; the half that decodes.

One reader belongs to one feed and is used by one thread at a time, on the analysis pool. What
it gives out is in the stream's order, so a place says exactly what has been given out before.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from processors.roi import Regions
from streamd.config import AnalysisSettings
from streamd.gate.calibration import GateProfile
from streamd.gate.decoder import GatedDecoder
from streamd.gate.states import State
from streamd.ingest.decode import DecodedFrame, Decoder
from streamd.ingest.errors import DecodeError
from streamd.ingest.timeline import Timeline, start_ns
from streamd.kvs.fragments import FragmentEnded, FragmentEvent, FragmentStarted, Packet
from streamd.pipeline.pace import FULL_PACE, Pace
from streamd.pipeline.sampling import Sampler
from streamd.pipeline.skipping import FrameSkipper
from streamd.pipeline.source import ReadEnded
from streamd.records import FramePosition

__all__ = [
    "WAKE",
    "Arrival",
    "FragmentDone",
    "FragmentRead",
    "Frame",
    "FrameReader",
    "Output",
    "Place",
]

logger = logging.getLogger(__name__)

WAKE: Final = "wake "
"""Before the cause of a wake, among the counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An event of the source and when it came."""

    event: FragmentEvent | ReadEnded
    epoch_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A frame to analyse."""

    picture: DecodedFrame
    position: FramePosition
    arrived_ms: int
    """When its last bytes came, milliseconds since 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentRead:
    """A fragment was read to its end; frames of it may still come."""

    number: str
    length_ms: int
    """Playing time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentDone:
    """No more frames of this fragment will come."""

    number: str


Output = Frame | FragmentRead | FragmentDone


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """How far a stream was given out: everything up to here."""

    fragment: int = -1
    is_whole: bool = False
    """The fragment is done; else up to ``offset_ns``."""
    offset_ns: int = 0


class FrameReader:
    """Decodes and samples one stream, batch by batch."""

    def __init__(
        self,
        *,
        settings: AnalysisSettings,
        on_damage: Callable[[DecodeError, str | None], None],
        profile: GateProfile | None = None,
    ) -> None:
        """Begin where the first batch begins.

        Args:
            settings: Rate of analysis and limits of pictures.
            on_damage: Told each error that cost frames, and the number of its fragment where
                that is known.
            profile: What a gate learnt of this stream before.

        """
        self._sampler = Sampler(fps=settings.fps)
        self._skipper = FrameSkipper(self._sampler) if settings.skip_disposable else None
        self._gated: GatedDecoder | None = None
        if settings.gate == "compressed":
            self._gated = GatedDecoder(
                max_frame_pixels=settings.max_frame_pixels,
                profile=profile,
                hardware=settings.hardware_decoder,
                skips=self._skipper,
            )
        self._decoder: Decoder | GatedDecoder = self._gated or Decoder(
            max_frame_pixels=settings.max_frame_pixels,
            hardware=settings.hardware_decoder,
            skips=self._skipper,
        )
        self._on_damage = on_damage
        self._timeline = Timeline()
        self._pace = FULL_PACE
        self._awaits_keyframe = False  # others were passed over, to save decoding
        self._packets: list[Packet] = []
        self._length = _Length()
        self._is_inside = False  # a fragment
        self._arrived_ms = 0
        self._counted: Counter[str] = Counter()
        self.place = Place()

    def go(self, pace: Pace) -> None:
        """Analyse at this pace from the next frame on."""
        if pace != self._pace:
            self._pace = pace
            self._sampler.slow_to(pace.share)

    def pass_over(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Take what need not be decoded, while the gate is quiet; return the rest of the batch.

        Never blocks, so that no thread is bothered with it.
        """
        if self._gated is None:
            return batch
        for index, arrival in enumerate(batch):
            packet = arrival.event
            if not isinstance(packet, Packet) or not self._gated.pass_over(packet):
                return batch[index:]
            self._length.add(packet.offset_ns)
            self._arrived_ms = arrival.epoch_ms
        return []

    @property
    def is_woken(self) -> bool:
        """Whether something is to be decoded although nothing has come."""
        return self._gated is not None and self._gated.is_woken

    def read(self, batch: Sequence[Arrival]) -> Iterator[Output]:
        """Yield what the batch completes; each output is to be used before the next is asked for.

        A frame holds a buffer of the decoder: let it go.
        """
        for arrival in batch:
            self._arrived_ms = arrival.epoch_ms
            event = arrival.event
            if isinstance(event, FragmentStarted):
                self._is_inside = True
                # Seen again after a cut: what was counted of it is counted again.
                self._length = _Length()
            elif isinstance(event, Packet):
                if self._wants(event):
                    self._packets.append(event)
                self._length.add(event.offset_ns)
            elif isinstance(event, FragmentEnded):
                self._is_inside = False
                yield from self._decode()
                self._decoder.end_fragment(event.fragment)
                yield FragmentRead(
                    number=event.fragment.number, length_ms=self._length.milliseconds
                )
                yield from self._completed()
            elif isinstance(event, ReadEnded) and not self._is_inside:
                # The next answer begins with a keyframe; a fragment cut short is read again.
                yield from self.drain()
        yield from self._decode()

    def drain(self) -> Iterator[Output]:
        """Yield what the decoder still holds: at the end, or between two answers of GetMedia."""
        yield from self._decode()
        yield from self._frames(self._decoder.drain())
        yield from self._completed()

    def close(self) -> None:
        """Let go of the decoder; may be called twice."""
        self._decoder.close()

    @property
    def is_quiet(self) -> bool:
        """Whether only keyframes are decoded now."""
        return self._gated is not None and self._gated.gate.state is State.QUIET

    @property
    def profile(self) -> GateProfile | None:
        """What the gate has learnt of the stream."""
        return self._gated.profile if self._gated is not None else None

    def watch(self, regions: Regions) -> None:
        """Say where what moves matters, to all that use the frames."""
        if self._gated is not None:
            self._gated.watch(regions)

    def note_detection(self) -> None:
        """Say that the frame given out last shows something of what is looked for."""
        if self._gated is not None:
            self._gated.note_detection()

    def take_counts(self) -> Counter[str]:
        """Return how much there was since the last call: frames, damage, what the gate did."""
        now, before = self._counts(), self._counted
        self._counted = now
        return Counter({name: count - before[name] for name, count in now.items()})

    def _wants(self, packet: Packet) -> bool:
        if packet.keyframe:
            self._awaits_keyframe = False
        elif self._pace.keyframes_only:
            self._awaits_keyframe = True
        return not self._awaits_keyframe

    def _counts(self) -> Counter[str]:
        stats = self._decoder.stats
        counts = Counter(frames=stats.frames, damaged=stats.damaged_packets + stats.corrupt_frames)
        counts["skipped"] = stats.disposed_packets
        if self._gated is not None:
            gate = self._gated.gate
            counts.update(
                skipped=gate.skipped, audits=gate.audits, missed_motion=gate.missed_motion
            )
            counts.update({WAKE + cause.value: count for cause, count in gate.wakes.items()})
        return counts

    def _decode(self) -> Iterator[Output]:
        packets, self._packets = self._packets, []
        if packets or self.is_woken:
            of = packets[0] if packets else None
            yield from self._frames(self._decoder.decode(packets), of=of)
            yield from self._completed()

    def _frames(self, frames: Iterable[DecodedFrame], of: Packet | None = None) -> Iterator[Frame]:
        try:
            for frame in frames:
                moment = self._timeline.place(frame.fragment, frame.offset_ns)
                step_ns = None
                if self._skipper is not None:
                    source_ns = start_ns(frame.fragment) + frame.offset_ns
                    step_ns = self._skipper.note_frame(source_ns, moment.media_time_ns)
                if self._sampler.wants(moment.media_time_ns, step_ns=step_ns):
                    self._advance(Place(int(frame.fragment.number), offset_ns=frame.offset_ns))
                    yield Frame(
                        picture=frame,
                        position=_position(frame),
                        arrived_ms=self._arrived_ms,
                    )
        except DecodeError as error:
            # The rest of the fragment is lost; the next one may be fine, or a camera mended.
            self._on_damage(error, of.fragment.number if of is not None else None)

    def _completed(self) -> Iterator[FragmentDone]:
        for fragment in self._decoder.completed_fragments():
            self._advance(Place(int(fragment.number), is_whole=True))
            yield FragmentDone(number=fragment.number)

    def _advance(self, place: Place) -> None:
        # A fragment that is read again after a cut takes nothing back.
        self.place = max(self.place, place)


def _position(frame: DecodedFrame) -> FramePosition:
    fragment = frame.fragment
    return FramePosition(
        fragment_number=fragment.number,
        server_timestamp_ms=fragment.server_timestamp_ms,
        producer_timestamp_ms=fragment.producer_timestamp_ms,
        frame_offset_ns=frame.offset_ns,
    )


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
