"""Files, cameras and devices as packets, through PyAV and without decoding where possible."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import av.audio
import av.container
import av.error
import av.stream
import av.video

from streamd.kvs.mkv_parts import Track
from streamd.producer import bitstream
from streamd.producer.encode import EncodedVideo
from streamd.producer.errors import SourceError
from streamd.producer.media import AUDIO_TRACK, VIDEO_TRACK, MediaUnit
from streamd.producer.timing import CodedFrame, DisplayOrder, VideoPacket, nanoseconds
from streamd.producer.tracks import CODEC_IDS, VideoTrack

__all__ = ["PyavSource", "SourceOptions", "is_live", "mask_credentials"]

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp")
RAW_FORMATS = ("h264", "hevc")
MAX_GUESS_NS = 1_000_000_000
"""A decoding time this far back is a wrong guess before it; further, a jump of the source."""
FILE_BATCH = 16
"""Packets read ahead of a file at once: fewer changes of thread."""
DEFAULT_FRAME_RATE = 25.0
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read."""

    audio: bool = False
    """Send the audio too, where it is AAC."""
    transcode: bool = False
    """Encode to H.264 with a keyframe every two seconds even where it is not needed."""
    frame_rate: float | None = None
    """Frames per second of a source without timestamps; ``None``: what its headers say."""
    rtsp_transport: str = "tcp"
    """``tcp`` or ``udp``."""
    open_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 5.0
    """A camera silent this long is gone; also the longest a read cannot be interrupted."""


def is_live(url: str) -> bool:
    """Say whether packets of this source come at their own pace."""
    return url.startswith("/dev/") or url.partition("://")[0].lower() in LIVE_SCHEMES


def mask_credentials(url: str) -> str:
    """Return the URL without user name and password."""
    return _USERINFO.sub("***@", url)


class PyavSource:
    """A video source; see :class:`streamd.producer.media.MediaSource`."""

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Open the source.

        Raises:
            SourceError: If it cannot be opened or has no video.

        """
        self._options = options or SourceOptions()
        self.name = mask_credentials(url)
        self.is_live = is_live(url)
        self.notes: list[str] = []
        """What the user should know about how this source is sent."""
        self._container = self._open(url)
        try:
            self._stream = self._video_stream()
            self._video = self._video_reader()
            self._audio = self._audio_reader()
        except BaseException:
            self._container.close()
            raise
        self._tracks: tuple[Track, ...] = ()
        self._units = self._read_units()

    @property
    def codec(self) -> str:
        """Name of the video codec, such as ``h264``."""
        return self._stream.codec_context.name

    @property
    def duration_seconds(self) -> float | None:
        """Length of a file, where its headers tell."""
        duration = self._container.duration
        return duration / av.time_base if duration and duration > 0 else None

    @property
    def frame_rate(self) -> float:
        """Frames per second: as the user said, else the headers, else 25."""
        measured, guessed = self._stream.average_rate, self._stream.guessed_rate
        if self._container.format.name in RAW_FORMATS:
            measured = None  # always 25; the guess reads the parameter sets
        rate = self._options.frame_rate or measured or guessed
        return float(rate) if rate else DEFAULT_FRAME_RATE

    def read(self) -> list[MediaUnit]:
        """See :meth:`streamd.producer.media.MediaSource.read`."""
        units: list[MediaUnit] = []
        wanted = 1 if self.is_live else FILE_BATCH
        with _av_errors(self.name, "cannot be read"):
            for unit in self._units:
                units.append(unit)  # what came before an error is not lost to islice
                if len(units) >= wanted:
                    break
        return units

    def close(self) -> None:
        """See :meth:`streamd.producer.media.MediaSource.close`."""
        self._units.close()
        self._container.close()

    def _open(self, url: str) -> av.container.InputContainer:
        scheme = url.partition("://")[0].lower() if "://" in url else "file"
        if scheme == "file":
            _check_file(Path(url.removeprefix("file://")))
        limits = (self._options.open_timeout_seconds, self._options.read_timeout_seconds)
        with _av_errors(self.name, "cannot be opened"):
            return av.open(
                url,
                format="v4l2" if url.startswith("/dev/video") else None,
                options={"rtsp_transport": self._options.rtsp_transport}
                if scheme.startswith("rtsp")
                else {},
                # libavformat waits for ever on a frozen camera unless it is told not to.
                timeout=None if scheme == "file" else limits,
            )

    def _video_stream(self) -> av.video.VideoStream:
        for stream in self._container.streams.video:
            # The cover picture of a music file is a video stream of one frame.
            if not stream.disposition & av.stream.Disposition.attached_pic:
                return stream
        raise SourceError(f"{self.name} has no video track", hint="choose a source with video")

    def _video_reader(self) -> _PassedVideo | EncodedVideo:
        if self.codec not in CODEC_IDS or self._options.transcode:
            self.notes.append(f"{self.codec} video is encoded to H.264 on the way")
            return EncodedVideo(self._stream, self.frame_rate)
        if self._container.format.name in RAW_FORMATS:
            self.notes.append(f"no timestamps: made from {self.frame_rate:g} frames per second")
        return _PassedVideo(self._stream, self.frame_rate)

    def _audio_reader(self) -> _Audio | None:
        streams = self._container.streams.audio
        if not streams:
            return None
        if not self._options.audio:
            self.notes.append("audio is left out (--audio sends AAC)")
            return None
        if streams[0].codec_context.name != "aac":
            name = streams[0].codec_context.name
            self.notes.append(f"{name} audio is left out: only AAC can be sent")
            return None
        return _Audio(streams[0])

    def _read_units(self) -> Generator[MediaUnit]:
        streams: list[av.stream.Stream] = [self._stream]
        if self._audio is not None:
            streams.append(self._audio.stream)
        for packet in self._container.demux(streams):
            if not packet.size:
                continue  # the flushing packets at the end
            if self._audio is not None and packet.stream_index == self._audio.stream.index:
                frame = self._audio.frame(packet)
                if self._tracks and frame is not None:
                    yield self._unit(AUDIO_TRACK, frame)
            else:
                yield from self._video_units(self._video.read(cast("VideoPacket", packet)))
        yield from self._video_units(self._video.flush())

    def _video_units(self, frames: Iterator[CodedFrame]) -> Iterator[MediaUnit]:
        for frame in frames:
            track = self._video.state.track
            # A decoder can do nothing with what comes before the first keyframe.
            if track is None or not (self._tracks or frame.is_keyframe):
                continue
            if not self._tracks or self._tracks[0] is not track:
                self._tracks = (track, self._audio.track) if self._audio else (track,)
            yield self._unit(VIDEO_TRACK, frame)

    def _unit(self, track_number: int, frame: CodedFrame) -> MediaUnit:
        return MediaUnit(
            tracks=self._tracks,
            track_number=track_number,
            pts_ns=frame.pts_ns,
            dts_ns=frame.dts_ns,
            duration_ns=frame.duration_ns,
            is_keyframe=frame.is_keyframe,
            data=frame.data,
        )


class _PassedVideo:
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


class _Audio:
    """AAC packets without ADTS headers."""

    def __init__(self, stream: av.audio.AudioStream) -> None:
        context = stream.codec_context
        self.stream = stream
        config = bytes(context.extradata or b"")
        channels = context.layout.nb_channels
        self.track = Track(
            number=AUDIO_TRACK,
            kind="audio",
            codec_id="A_AAC",
            codec_private=config or bitstream.aac_config(context.sample_rate, channels),
            sampling_hz=context.sample_rate,
            channels=channels,
        )

    def frame(self, packet: av.Packet[Any]) -> CodedFrame | None:
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


def _check_file(path: Path) -> None:
    if not path.exists():
        raise SourceError(f"{path} does not exist", hint="check the path given to --source")
    if path.is_dir():
        raise SourceError(f"{path} is a directory", hint="name one video file")


@contextlib.contextmanager
def _av_errors(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except av.error.HTTPUnauthorizedError as error:
        hint = "put the camera's user and password into the URL: rtsp://USER:PASSWORD@HOST/…"
        raise SourceError(f"{name} asks for a password", hint=hint) from error
    except av.error.ExitError as error:
        # PyAV interrupts libavformat when its time is up.
        raise SourceError(f"{name} {what}: it has gone silent") from error
    except av.error.InvalidDataError as error:
        raise SourceError(f"{name} {what}: this is not a video") from error
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{name} {what}: {reason}") from error
