"""Encoding to H.264 for sources whose codec Kinesis Video cannot carry (MJPEG webcams, VP9 …)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import av.video
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from streamd.producer.timing import CodedFrame, VideoPacket, nanoseconds
from streamd.producer.tracks import VideoTrack

__all__ = ["EncodedVideo"]

TIME_BASE = Fraction(1, 90_000)
KEYFRAME_SECONDS = 2.0
"""Fragments of two seconds: AWS's recommended shortest, so results come soon."""
ENCODER_OPTIONS = {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}


class EncodedVideo:
    """Decodes a stream and encodes it again; no B-frames, so coding order is display order."""

    def __init__(self, stream: av.video.VideoStream, frame_rate: float) -> None:
        self._stream = stream
        self._frame_rate = frame_rate
        self._reformatter = VideoReformatter()
        self._encoder: VideoCodecContext | None = None
        self._count = 0
        self._next_keyframe = 0.0
        self._last_pts = -1
        self.state = VideoTrack("h264", b"", width_px=0, height_px=0)

    def read(self, packet: VideoPacket) -> Iterator[CodedFrame]:
        """Yield the coded frames that a packet of the source gives."""
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            return  # damaged picture: the next one comes
        for frame in frames:
            yield from self._encode(frame)

    def flush(self) -> Iterator[CodedFrame]:
        """Yield what decoder and encoder still hold."""
        for frame in self._stream.decode(None):
            yield from self._encode(frame)
        if self._encoder is not None:
            yield from self._coded(self._encoder.encode(None))

    def _encode(self, frame: av.VideoFrame) -> Iterator[CodedFrame]:
        encoder = self._encoder or self._open(frame)
        seconds = self._count / self._frame_rate if frame.time is None else frame.time
        self._count += 1
        picture = self._reformatter.reformat(
            frame, encoder.width, encoder.height, "yuv420p", threads=1
        )
        # The encoder refuses times that do not rise; two frames of one instant are rare.
        picture.pts = self._last_pts = max(round(seconds / TIME_BASE), self._last_pts + 1)
        picture.time_base = TIME_BASE
        picture.pict_type = PictureType.NONE
        if seconds >= self._next_keyframe:
            picture.pict_type = PictureType.I
            self._next_keyframe = seconds + KEYFRAME_SECONDS
        yield from self._coded(encoder.encode(picture))

    def _open(self, frame: av.VideoFrame) -> VideoCodecContext:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = frame.width & ~1, frame.height & ~1
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = TIME_BASE
        encoder.framerate = Fraction(self._frame_rate).limit_denominator(1001)
        encoder.gop_size = 600  # keyframes are asked for by time, below
        encoder.options = ENCODER_OPTIONS
        self._encoder = encoder
        return encoder

    def _coded(self, packets: list[VideoPacket]) -> Iterator[CodedFrame]:
        for packet in packets:
            data = self.state.convert(bytes(packet))
            pts = nanoseconds(packet.pts or 0, TIME_BASE)
            yield CodedFrame(
                pts_ns=pts,
                dts_ns=pts,
                duration_ns=round(1e9 / self._frame_rate),
                is_keyframe=packet.is_keyframe,
                data=data,
            )
