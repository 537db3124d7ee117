"""Times of packets: exact nanoseconds, and times made up for sources that have none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

import av
import av.error
import av.video
from av.video.codeccontext import VideoCodecContext

__all__ = ["CodedFrame", "DisplayOrder", "VideoPacket", "nanoseconds"]

VideoPacket: TypeAlias = "av.Packet[av.video.VideoStream]"
NANOSECONDS = 1_000_000_000
MAX_REORDERED = 48
"""More packets than any decoder holds back; one that waits longer was never shown."""


@dataclass(kw_only=True, slots=True)
class CodedFrame:
    """One coded frame with its times."""

    pts_ns: int
    dts_ns: int
    duration_ns: int
    is_keyframe: bool
    data: bytes


def nanoseconds(ticks: int, time_base: Fraction) -> int:
    """Return stream time in nanoseconds."""
    return ticks * NANOSECONDS * time_base.numerator // time_base.denominator


class DisplayOrder:
    """Times for packets without any (raw ``.264`` and ``.265`` files), from the frame rate.

    The order in which frames are shown is written nowhere but in the coded pictures, so
    where the stream has B-frames they are decoded to learn it.
    """

    def __init__(self, stream: av.video.VideoStream, frame_rate: float) -> None:
        self._step_ns = round(NANOSECONDS / frame_rate)
        self._read = 0
        self._shown = 0
        self._waiting: deque[tuple[int, CodedFrame]] = deque()
        self._ranks: dict[int, int] = {}
        self._decoder: VideoCodecContext | None = None
        if stream.codec_context.has_b_frames:
            decoder = av.CodecContext.create(stream.codec_context.name, "r")
            assert isinstance(decoder, VideoCodecContext)
            decoder.extradata = stream.codec_context.extradata
            decoder.thread_count = 1
            self._decoder = decoder

    def push(self, data: bytes, *, is_keyframe: bool) -> Iterator[CodedFrame]:
        """Take the next packet; yield those whose times are known now, in coding order."""
        index, self._read = self._read, self._read + 1
        frame = CodedFrame(
            pts_ns=index * self._step_ns,
            dts_ns=index * self._step_ns,
            duration_ns=self._step_ns,
            is_keyframe=is_keyframe,
            data=data,
        )
        if self._decoder is None:
            yield frame
            return
        self._waiting.append((index, frame))
        packet = cast("VideoPacket", av.Packet(data))
        packet.pts = index
        self._show(packet)
        yield from self._ready(limit=MAX_REORDERED)

    def flush(self) -> Iterator[CodedFrame]:
        """Yield the packets still waiting for their place."""
        if self._decoder is not None:
            self._show(None)
            yield from self._ready(limit=0)

    def _show(self, packet: VideoPacket | None) -> None:
        assert self._decoder is not None
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            return  # a broken packet keeps its place in coding order
        for frame in frames:
            if frame.pts is not None:
                self._ranks[frame.pts] = self._shown
            self._shown += 1

    def _ready(self, *, limit: int) -> Iterator[CodedFrame]:
        while self._waiting:
            index, frame = self._waiting[0]
            rank = self._ranks.pop(index, None)
            if rank is None and len(self._waiting) <= limit:
                return
            self._waiting.popleft()
            if rank is not None:
                frame.pts_ns = rank * self._step_ns
            yield frame
