"""Files, cameras and devices as packets, through PyAV and without decoding where possible."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import cast

import av
import av.container
import av.stream
import av.video

from streamd.kvs.mkv_parts import Track
from streamd.producer.camera_clock import CameraClock, reference_time_ns
from streamd.producer.encode import EncodedVideo
from streamd.producer.errors import SourceError
from streamd.producer.media import AUDIO_TRACK, VIDEO_TRACK, MediaUnit
from streamd.producer.opening import (
    RAW_FORMATS,
    SourceOptions,
    av_errors,
    is_live,
    is_segmented,
    mask_credentials,
    open_container,
)
from streamd.producer.passed import PassedAudio, PassedVideo
from streamd.producer.timing import CodedFrame, VideoPacket, nanoseconds
from streamd.producer.tracks import CODEC_IDS

__all__ = ["PyavSource", "SourceOptions", "is_live", "mask_credentials"]

FILE_BATCH = 16
"""Packets read ahead of a file at once: fewer changes of thread."""
DEFAULT_FRAME_RATE = 25.0


class PyavSource:
    """A video source; see :class:`streamd.producer.media.MediaSource`."""

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Open the source.

        Raises:
            SourceError: If it cannot be opened or has no video.

        """
        self._options = options or SourceOptions()
        self.name = mask_credentials(url)
        self.notes: list[str] = []
        """What the user should know about how this source is sent."""
        self._url = url
        self._camera_clock = CameraClock()
        self._container = open_container(url, self._options)
        self.is_live = is_live(url, self._container)
        self.is_paced = self.is_live and not is_segmented(self._container)
        try:
            self._stream = self._video_stream()
            self._video = self._video_reader()
            self._audio = self._audio_reader()
        except BaseException:
            self._container.close()
            raise
        self.silence = None if self._audio is None else self._audio.silence()
        self._seed_clock(url)
        self._tracks: tuple[Track, ...] = ()
        self._units = self._read_units()

    @property
    def codec(self) -> str:
        """Name of the video codec, such as ``h264``."""
        return self._stream.codec_context.name

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the picture, in pixels."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def audio_codec(self) -> str | None:
        """Name of the sound's codec, whether it is sent or not."""
        streams = self._container.streams.audio
        return streams[0].codec_context.name if streams else None

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
        wanted = 1 if self.is_paced else FILE_BATCH
        with av_errors(self._url, "cannot be read"):
            for unit in self._units:
                units.append(unit)  # what came before an error is not lost to islice
                if len(units) >= wanted:
                    break
        return units

    def close(self) -> None:
        """See :meth:`streamd.producer.media.MediaSource.close`."""
        self._units.close()
        self._container.close()

    def _video_stream(self) -> av.video.VideoStream:
        for stream in self._container.streams.video:
            # The cover picture of a music file is a video stream of one frame.
            if not stream.disposition & av.stream.Disposition.attached_pic:
                return stream
        raise SourceError(f"{self.name} has no video track", hint="choose a source with video")

    def _video_reader(self) -> PassedVideo | EncodedVideo:
        if self.codec not in CODEC_IDS or self._options.transcode:
            self.notes.append(f"{self.codec} video is encoded to H.264 on the way")
            return EncodedVideo(self._stream, self.frame_rate)
        if self._container.format.name in RAW_FORMATS:
            self.notes.append(f"no timestamps: made from {self.frame_rate:g} frames per second")
        return PassedVideo(self._stream, self.frame_rate)

    def _audio_reader(self) -> PassedAudio | None:
        streams = self._container.streams.audio
        if not streams:
            return None
        if not self._options.audio:
            self.notes.append("audio is left out (the setting audio, or --audio, keeps AAC)")
            return None
        if streams[0].codec_context.name != "aac":
            name = streams[0].codec_context.name
            self.notes.append(f"{name} audio is left out: only AAC can be sent")
            return None
        return PassedAudio(streams[0])

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
                video_packet = cast("VideoPacket", packet)
                self._read_clock(video_packet)
                yield from self._video_units(self._video.read(video_packet))
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

    def _seed_clock(self, url: str) -> None:
        """Take the report that came while the source was opened: no packet tells of it."""
        start_us = self._container.start_time_realtime
        if url.lower().startswith("rtsp") and start_us is not None and start_us > 0:
            # libavformat counts packets' times from the same moment (rtsp.c).
            self._camera_clock.learn(0, start_us * 1000)

    def _read_clock(self, packet: VideoPacket) -> None:
        if packet.pts is not None and packet.has_sidedata("prft"):
            wall_ns = reference_time_ns(bytes(packet.get_sidedata("prft")))
            self._camera_clock.learn(nanoseconds(packet.pts, packet.time_base), wall_ns)

    def _unit(self, track_number: int, frame: CodedFrame) -> MediaUnit:
        return MediaUnit(
            tracks=self._tracks,
            track_number=track_number,
            pts_ns=frame.pts_ns,
            dts_ns=frame.dts_ns,
            duration_ns=frame.duration_ns,
            is_keyframe=frame.is_keyframe,
            data=frame.data,
            taken_ns=self._camera_clock.taken_ns(frame.pts_ns),
        )
