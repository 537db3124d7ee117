"""A decoder behind a gate: what is quiet stays packets, what may matter is decoded. Blocking.

It is used as :class:`streamd.ingest.decode.Decoder` is, and gives out the same frames in the
same order; in QUIET only keyframes. What follows a keyframe is kept until the next one is
judged, and decoded before that is given out if anything speaks for motion: nothing in front of
what woke the gate is lost, and no frame comes after one that was shown later.

A fragment completes when none of its frames can come any more: in QUIET when the group it ends
in was judged, one group of pictures late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from processors.roi import Regions
from streamd.gate.calibration import LONGEST_GROUP_NS, GateProfile
from streamd.gate.codecs import heads_of
from streamd.gate.errors import HeadError
from streamd.gate.gate import LOOK_NS, Gate, GateStats
from streamd.gate.heads import Heads, PictureHead
from streamd.gate.scene import HEIGHT_PX, WIDTH_PX, Luma
from streamd.gate.states import Event, State, Wake
from streamd.ingest.decode import DEFAULT_MAX_PIXELS, DecodedFrame, Decoder, DecoderStats
from streamd.ingest.errors import DecodeError
from streamd.ingest.hardware import NO_DEVICE
from streamd.ingest.timeline import start_ns
from streamd.kvs.fragments import FragmentInfo, Packet
from streamd.kvs.mkv_parts import Track

__all__ = ["GatedDecoder"]

logger = logging.getLogger(__name__)

MOST_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of one group of pictures: 10 s at 6 Mbit/s."""
JUMP_NS: Final = 5_000_000_000
"""A step by more, forward or back, is another time: a gap, or a clock that was set."""

_Kept = Packet | FragmentInfo
"""A packet, or the end of a fragment."""
_At = tuple[FragmentInfo, int]
"""Which frame: its fragment and the offset in that. The frame itself would hold memory."""


class GatedDecoder:
    """Decodes the video track of one session as far as it matters; used by one thread at a time."""

    def __init__(
        self,
        *,
        max_frame_pixels: int = DEFAULT_MAX_PIXELS,
        regions: Regions | None = None,
        profile: GateProfile | None = None,
        hardware: str = NO_DEVICE,
        skips: Callable[[Packet], bool] | None = None,
    ) -> None:
        """Create a decoder; the codec is chosen by the first packet.

        Args:
            max_frame_pixels: Larger pictures are refused before they are decoded.
            regions: Regions of interest of all that analyse the frames: what moves outside
                them alone does not matter. ``None``: the whole picture does.
            profile: What was learnt of the same stream before, used if it fits.
            hardware: Device to decode on, see :func:`streamd.ingest.hardware.open_hardware`.
            skips: As for :class:`streamd.ingest.decode.Decoder`.
        """
        self._decoder = Decoder(max_frame_pixels=max_frame_pixels, hardware=hardware, skips=skips)
        self._gate = Gate(regions or Regions())
        self._profile = profile
        self._heads: Heads | None = None
        self._codec: tuple[str, bytes] | None = None
        self._group: list[_Kept] = []  # in QUIET, from the keyframe on; its frame is out
        self._group_bytes = 0
        self._repeated: _At | None = None  # the frame given out, to be decoded once more
        self._time_ns: int | None = None  # of the newest packet, in the order they are shown
        self._shown_ns = 0  # of the frame given out last

    @property
    def stats(self) -> DecoderStats:
        """What was decoded."""
        return self._decoder.stats

    @property
    def gate(self) -> GateStats:
        """What was not, and why the rest was."""
        return self._gate.stats

    @property
    def profile(self) -> GateProfile | None:
        """What was learnt of the stream so far, for the next session on it."""
        return self._gate.profile

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedFrame]:
        """Take packets and yield the frames that matter, in the order they are shown.

        Without packets: what was kept until :meth:`pass_over` woke the gate.

        Raises:
            DecodeError: If there is no decoder for the codec, or the pictures are too large.

        """
        try:
            yield from self._replay_if_woken()
            for packet in packets:
                yield from self._take(packet)
                yield from self._replay_if_woken()
        except DecodeError:
            self._give_up_group()
            raise

    def pass_over(self, packet: Packet) -> bool:
        """Take a packet that is only to be kept; return whether it was taken. Never blocks.

        It is one between two keyframes while the gate is quiet. If it wakes the gate,
        :attr:`is_woken` is set.
        """
        if self._gate.state is not State.QUIET or packet.keyframe or not self._follows(packet):
            return False
        head = self._read(packet)
        if head is None:
            return False
        self._keep_time(packet)
        self._listen(packet, head)
        return True

    @property
    def is_woken(self) -> bool:
        """Whether what was kept is to be decoded now, see :meth:`decode`."""
        return bool(self._group) and self._gate.state is not State.QUIET

    def watch(self, regions: Regions) -> None:
        """Say where what moves matters from now on; other regions have to be learnt anew."""
        if regions.shapes != self._gate.regions.shapes:
            self._gate.watch(regions, self._profile if self._codec is not None else None)

    def note_detection(self) -> None:
        """Say that the analysis found something in the frame given out last.

        As long as it does, everything is decoded: results come as often as without a gate.
        """
        self._gate.found(self._shown_ns)
        if self._gate.state is State.QUIET:
            self._gate.wake(Wake.DETECTION)

    def end_fragment(self, fragment: FragmentInfo) -> None:
        """Say that all packets of the fragment were given; it completes when its frames are out."""
        if self._group:
            self._group.append(fragment)
        else:
            self._decoder.end_fragment(fragment)

    def completed_fragments(self) -> list[FragmentInfo]:
        """Return, once each, ended fragments of which no more frames can come."""
        return self._decoder.completed_fragments()

    def drain(self) -> Iterator[DecodedFrame]:
        """Yield all that is kept or still inside: at the end, or where the next does not follow on.

        A fragment that was not ended will not complete. Decoding then goes on at a keyframe.
        """
        if self._gate.state is State.QUIET:
            self._gate.wake(Wake.END)
        yield from self._replay()
        for frame in self._decoder.drain():
            yield from self._shown(frame)
        self._time_ns = None

    def close(self) -> None:
        """Free the memory; may be called twice."""
        self._group.clear()
        self._repeated = None
        self._decoder.close()

    def _take(self, packet: Packet) -> Iterator[DecodedFrame]:
        if not self._follows(packet):
            yield from self._change_codec(_track_of(packet))
        self._keep_time(packet)
        head = self._read(packet)
        if self._gate.state is State.QUIET:
            yield from self._take_quiet(packet, head)
        elif _is_entry(packet, head) and self._gate.may_be_quiet():
            yield from self._fall_quiet(packet)
        else:
            yield from self._decode(packet)

    def _take_quiet(self, packet: Packet, head: PictureHead | None) -> Iterator[DecodedFrame]:
        if _is_entry(packet, head):
            yield from self._judge(packet)
            return
        if head is None:
            self._gate.wake(Wake.FAULT)
            self._gate.open(Event.UNREADABLE)
            yield from self._replay()
            yield from self._decode(packet)
        else:
            self._listen(packet, head)

    def _listen(self, packet: Packet, head: PictureHead) -> None:
        """In QUIET: keep a packet, and wake the gate if it speaks for motion."""
        if self._keep(packet):
            self._gate.wake(Wake.FAULT)
            self._gate.open(Event.TOO_LONG)
        elif self._gate.packet(head, len(packet.data)):
            self._gate.wake(Wake.PACKETS)

    def _judge(self, packet: Packet) -> Iterator[DecodedFrame]:
        """In QUIET: the group before this keyframe, then the keyframe."""
        frame = self._decode_alone(packet)
        if frame is None:
            cause: Wake | None = Wake.FAULT  # a damaged keyframe: nothing can be judged by it
        elif self._gate.differs(self._luma(frame)):
            cause = Wake.SCENE
        elif self._gate.is_audit_due() and self._audit():
            cause = Wake.AUDIT
        else:
            cause = None
        if cause is None:
            assert frame is not None, "a keyframe that is like the background"
            self._drop_group()
            yield from self._begin_group(packet, frame)
            return
        self._gate.wake(cause)
        yield from self._replay()
        yield from self._decode(packet)

    def _fall_quiet(self, packet: Packet) -> Iterator[DecodedFrame]:
        """At a keyframe in LIVE: first what the decoder still holds, which may yet show motion."""
        for frame in self._decoder.flush():
            yield from self._shown(frame)
        alone = self._decode_alone(packet) if self._gate.may_be_quiet() else None
        if alone is None:
            yield from self._decode(packet)
            return
        luma = self._luma(alone)
        if self._gate.look(self._frame_ns(alone), luma, is_keyframe=True):
            yield from self._decode(packet)
            return
        self._gate.fall_quiet(luma)
        yield from self._begin_group(packet, alone)

    def _begin_group(self, packet: Packet, frame: DecodedFrame) -> Iterator[DecodedFrame]:
        self._group, self._group_bytes = [packet], len(packet.data)
        self._repeated = frame.fragment, frame.offset_ns
        self._shown_ns = self._frame_ns(frame)
        self._decoder.rest()
        yield frame

    def _keep(self, packet: Packet) -> bool:
        """Keep a packet of the group; return whether there are too many."""
        self._group.append(packet)
        self._group_bytes += len(packet.data)
        first = self._group[0]
        assert isinstance(first, Packet), "a group begins with its keyframe"
        longest = self._packet_ns(packet) - self._packet_ns(first) > LONGEST_GROUP_NS
        return longest or self._group_bytes > MOST_KEPT_BYTES

    def _decode_alone(self, packet: Packet) -> DecodedFrame | None:
        """Decode a keyframe at once; what follows it needs it decoded again."""
        frames = [*self._decoder.decode([packet]), *self._decoder.flush()]
        return frames[0] if len(frames) == 1 else None

    def _replay_if_woken(self) -> Iterator[DecodedFrame]:
        """After a packet, or a find in the keyframe given out last, has woken the gate."""
        if self.is_woken:
            yield from self._replay()

    def _replay(self) -> Iterator[DecodedFrame]:
        """Decode the group that was kept, but for its keyframe, which is out."""
        group, self._group = self._group, []
        given, self._repeated = self._repeated, None
        for each in group:
            if isinstance(each, FragmentInfo):
                self._decoder.end_fragment(each)
                continue
            for frame in self._decoder.decode([each]):
                if given is not None and _is_at(frame, given):
                    given = None
                    continue
                yield from self._shown(frame)

    def _audit(self) -> bool:
        """Decode the group that was kept only to look at it; return whether something moved."""
        watch, moved, due_ns = self._gate.watch_group(), 0, 0
        for each in self._group:
            if isinstance(each, FragmentInfo):
                continue
            for frame in self._decoder.decode([each]):
                if (at := self._frame_ns(frame)) >= due_ns:
                    due_ns = at + LOOK_NS
                    moved += watch.look(at, self._luma(frame)) > 1
        for _ in self._decoder.flush():
            pass
        self._gate.audited(moved=moved > 1)
        return moved > 1

    def _drop_group(self) -> None:
        """Let a quiet group go; the fragments that end in it are done."""
        group, self._group = self._group, []
        for each in group:
            if isinstance(each, FragmentInfo):
                self._decoder.end_fragment(each)
        self._gate.stats.skipped += sum(isinstance(each, Packet) for each in group) - 1

    def _give_up_group(self) -> None:
        """After an error that no packet of the group survives."""
        if self._group:
            self._drop_group()
        self._repeated = None
        if self._gate.state is State.QUIET:
            self._gate.wake(Wake.FAULT)

    def _decode(self, packet: Packet) -> Iterator[DecodedFrame]:
        for frame in self._decoder.decode([packet]):
            yield from self._shown(frame)

    def _shown(self, frame: DecodedFrame) -> Iterator[DecodedFrame]:
        """Give out a frame, looked at now and then."""
        self._shown_ns = at = self._frame_ns(frame)
        if self._gate.is_due(at) or (frame.keyframe and self._gate.state is State.CALIBRATING):
            self._gate.look(at, self._luma(frame), is_keyframe=frame.keyframe)
        yield frame

    def _luma(self, frame: DecodedFrame) -> Luma:
        return frame.luma(self._gate.crop, width_px=WIDTH_PX, height_px=HEIGHT_PX)

    def _read(self, packet: Packet) -> PictureHead | None:
        if self._heads is None or not self._gate.wants_heads:
            return None
        try:
            head = self._heads.read(packet.data)
        except HeadError as error:
            self._refuse(str(error))
            return None
        if packet.keyframe and not head.is_entry:
            # Open groups: what follows may refer to what was in front of the keyframe.
            self._refuse("a keyframe that is no IDR picture")
            return None
        if self._gate.state is not State.QUIET:
            self._gate.packet(head, len(packet.data))
        return head

    def _refuse(self, reason: str) -> None:
        if self._gate.state is not State.QUIET:  # else with what was kept
            logger.debug("gate: %s", reason)
            self._gate.open(Event.UNREADABLE)

    def _change_codec(self, track: Track) -> Iterator[DecodedFrame]:
        if self._gate.state is State.QUIET:
            self._gate.wake(Wake.FAULT)
        yield from self._replay()
        if self._codec is not None:
            self._gate.change()
        self._codec = (track.codec_id, track.codec_private)
        self._gate.begin(self._codec, self._profile)
        self._heads = heads_of(track.codec_id, track.codec_private)
        if self._heads is None:
            self._gate.open(Event.UNREADABLE)

    def _keep_time(self, packet: Packet) -> None:
        at, before = self._packet_ns(packet), self._time_ns
        if before is None or not before - JUMP_NS <= at <= before + JUMP_NS:
            self._gate.jump(at)
            self._time_ns = at
        else:
            self._time_ns = max(at, before)
        self._gate.advance(self._time_ns)

    def _follows(self, packet: Packet) -> bool:
        """Whether a packet is of the codec of those before it."""
        track = _track_of(packet)
        return (track.codec_id, track.codec_private) == self._codec

    def _packet_ns(self, packet: Packet) -> int:
        return start_ns(packet.fragment) + packet.offset_ns

    def _frame_ns(self, frame: DecodedFrame) -> int:
        return start_ns(frame.fragment) + frame.offset_ns


def _track_of(packet: Packet) -> Track:
    track = packet.fragment.video
    assert track is not None, "packets come from a video track"
    return track


def _is_entry(packet: Packet, head: PictureHead | None) -> bool:
    # The decoder begins at packets that are marked, whatever they hold.
    return packet.keyframe and head is not None and head.is_entry


def _is_at(frame: DecodedFrame, at: _At) -> bool:
    return frame.fragment is at[0] and frame.offset_ns == at[1]
