"""Packets that go on as they are: H.264 and H.265 pictures, AAC sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import av.audio
import av.error
import av.video
from av.audio.codeccontext import AudioCodecContext

from streamd.kvs.mkv_parts import Track
from streamd.producer import bitstream
from streamd.producer.media import AUDIO_TRACK
from streamd.producer.timing import CodedFrame, DisplayOrder, VideoPacket, nanoseconds
from streamd.producer.tracks import VideoTrack

__all__ = ["PassedAudio", "PassedVideo"]

MAX_GUESS_NS = 1_000_000_000
"""A decoding time this far back is a wrong guess before it; further, a jump of the source."""


class PassedVideo:
    """H.264 or H.265 packets, not decoded."""

    def __init__(self, stream: av.video.VideoStream, frame_rate: float) -> None:
        context = stream.codec_context
        self._stream = stream
        self._frame_rate = frame_rate
        self._untimed: DisplayOrder | None = None
        self._last_dts_ns: int | None = None
        self.state = VideoTrack(
            context.name,
            bytes(context.extradata or b""),
            width_px=context.width,
            height_px=context.height,
        )

    def read(self, packet: VideoPacket) -> Iterator[CodedFrame]:
        """Yield the coded frames that a packet of the source gives."""
        if packet.has_sidedata("new_extradata"):
            record = bytes(packet.get_sidedata("new_extradata"))
            width, height = self._stream.codec_context.width, self._stream.codec_context.height
            self.state.replace(record, width_px=width, height_px=height)
        if self._untimed is None and packet.pts is None and self._last_dts_ns is None:
            self._untimed = DisplayOrder(self._stream, self._frame_rate)
        if self._untimed is not None:
            frames = self._untimed.push(bytes(packet), is_keyframe=packet.is_keyframe)
            yield from map(self._converted, frames)
        else:
            yield self._converted(self._timed(packet))

    def flush(self) -> Iterator[CodedFrame]:
        """Yield what still waits for its time."""
        if self._untimed is not None:
            yield from map(self._converted, self._untimed.flush())

    def _converted(self, frame: CodedFrame) -> CodedFrame:
        frame.data = self.state.convert(frame.data)
        return frame

    def _timed(self, packet: VideoPacket) -> CodedFrame:
        base = packet.time_base
        step = nanoseconds(packet.duration or 0, base) or round(1e9 / self._frame_rate)
        pts = None if packet.pts is None else nanoseconds(packet.pts, base)
        dts = None if packet.dts is None else nanoseconds(packet.dts, base)
        last = self._last_dts_ns
        # Matroska has no decoding times, and libavformat finds the first ones late.
        if dts is None:
            dts = pts if last is None else last + step
        assert dts is not None, "a first packet without any time has its own path"
        if last is not None and 0 < last - dts <= MAX_GUESS_NS:
            dts = last
        self._last_dts_ns = dts
        return CodedFrame(
            pts_ns=dts if pts is None else pts,
            dts_ns=dts,
            duration_ns=step,
            is_keyframe=packet.is_keyframe,
            data=bytes(packet),
        )


class PassedAudio:
    """AAC packets without ADTS headers."""

    def __init__(self, stream: av.audio.AudioStream) -> None:
        context = stream.codec_context
        self.stream = stream
        config = bytes(context.extradata or b"")
        channels = context.layout.nb_channels
        self._layout = context.layout.name
        self.track = Track(
            number=AUDIO_TRACK,
            kind="audio",
            codec_id="A_AAC",
            codec_private=config or bitstream.aac_config(context.sample_rate, channels),
            sampling_hz=context.sample_rate,
            channels=channels,
        )

    def silence(self) -> bytes | None:
        """Return a silent frame, ``None`` where the encoder knows no such sound."""
        encoder = av.CodecContext.create("aac", "w")
        assert isinstance(encoder, AudioCodecContext)
        encoder.sample_rate, encoder.layout = self.stream.codec_context.sample_rate, self._layout
        encoder.format = "fltp"
        try:
            encoder.open()
            frame = av.AudioFrame("fltp", encoder.layout.name, encoder.frame_size)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate = encoder.sample_rate
            packets = [*encoder.encode(frame), *encoder.encode(None)]
        except (av.error.FFmpegError, ValueError):
            return None
        return bytes(packets[0]) if packets else None

    def frame(self, packet: av.Packet[Any]) -> CodedFrame | None:
        """Return the packet's frame of sound; ``None`` where it has no time."""
        if packet.pts is None:
            return None
        pts = nanoseconds(packet.pts, packet.time_base)
        return CodedFrame(
            pts_ns=pts,
            dts_ns=pts,
            duration_ns=nanoseconds(packet.duration or 0, packet.time_base),
            is_keyframe=True,
            data=bitstream.strip_adts(bytes(packet)),
        )
