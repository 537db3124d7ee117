"""Real video for tests: numpy pictures -> H.264/H.265 packets -> PutMedia and GetMedia bodies.

::

    video = encode(moving_shapes(60), fps=30, gop=15)      # 4 fragments
    put_media_body(video)                                  # what a producer sends
    get_media_body(video)                                  # what a consumer reads
    demux("/path/to.mp4")                                  # packets of a file, not transcoded
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from streamd.kvs import mkv_write, tags
from streamd.kvs.mkv_parts import Track
from streamd.kvs.numbers import new_number

START_MS = 1_700_000_000_000
"""Default producer time of the first frame, milliseconds since 1970."""

_CODEC_IDS = {
    "h264": "V_MPEG4/ISO/AVC",
    "hevc": "V_MPEGH/ISO/HEVC",
    "mjpeg": "V_MJPEG",
    "vp8": "V_VP8",
    "vp9": "V_VP9",
}
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "mjpeg": "mjpeg"}
_FAST: dict[str, dict[str, str]] = {
    "h264": {"preset": "ultrafast", "crf": "18"},
    "hevc": {"preset": "ultrafast", "crf": "18", "x265-params": "log-level=none:pools=none"},
    "mjpeg": {},
}


@dataclass(frozen=True, kw_only=True)
class EncodedPacket:
    """One encoded picture; packets are in decoding order."""

    pts_ms: int
    keyframe: bool
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video track and its packets."""

    track: Track
    packets: tuple[EncodedPacket, ...]

    def fragments(self) -> list[tuple[EncodedPacket, ...]]:
        """The packets in groups that each begin with a keyframe."""
        groups: list[list[EncodedPacket]] = []
        for packet in self.packets:
            if packet.keyframe or not groups:
                groups.append([])
            groups[-1].append(packet)
        return [tuple(group) for group in groups]


def moving_shapes(
    count: int, *, width_px: int = 320, height_px: int = 240
) -> Iterator[NDArray[np.uint8]]:
    """Yield RGB pictures of a white square that crosses a blue-green gradient."""
    ys, xs = np.mgrid[0:height_px, 0:width_px]
    ground = np.zeros((height_px, width_px, 3), np.uint8)
    ground[..., 1] = xs * 255 // width_px
    ground[..., 2] = ys * 255 // height_px
    side = height_px // 4
    for index in range(count):
        picture = ground.copy()
        left = index * 5 % (width_px - side)
        picture[side : 2 * side, left : left + side] = 255
        yield picture


def solid(
    color: tuple[int, int, int], count: int = 1, *, width_px: int = 320, height_px: int = 240
) -> Iterator[NDArray[np.uint8]]:
    """Yield RGB pictures of one colour."""
    for _ in range(count):
        yield np.full((height_px, width_px, 3), color, np.uint8)


def encode(
    pictures: Iterable[NDArray[np.uint8]],
    *,
    codec: str = "h264",
    fps: float = 30,
    gop: int = 30,
    b_frames: int = 0,
    annexb: bool = False,
    pix_fmt: str | None = None,
    colorspace: str = "ITU601",
    options: Mapping[str, str] | None = None,
) -> Video:
    """Encode RGB pictures.

    Args:
        pictures: Arrays of shape (height, width, 3), all of one size.
        codec: ``h264``, ``hevc`` or ``mjpeg``.
        fps: Pictures per second; times are rounded to milliseconds.
        gop: A keyframe every so many pictures, and nowhere else.
        b_frames: Most B-frames in a row.
        annexb: H.264 with start codes in frames and CodecPrivate instead of lengths and avcC.
        pix_fmt: Such as ``yuv420p``, ``yuv444p``, ``yuvj420p``; ``None``: the codec's usual.
        colorspace: Matrix from RGB to YUV, ``ITU601`` or ``ITU709``; written into the stream.
        options: More options of the encoder.
    """
    pix_fmt = pix_fmt or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
    full = pix_fmt.startswith("yuvj")
    extra: dict[str, object] = {
        **_FAST[codec],
        **_gop_options(codec, gop, b_frames),
        **(options or {}),
    }
    target = io.BytesIO()
    reformatter = VideoReformatter()
    with av.open(target, "w", format="matroska") as container:
        stream: av.VideoStream | None = None
        for index, picture in enumerate(pictures):
            if stream is None:
                stream = _add_stream(container, codec, picture, fps, gop, pix_fmt)
                stream.max_b_frames = b_frames
                stream.codec_context.colorspace = 1 if colorspace == "ITU709" else 6
                stream.codec_context.color_range = 2 if full else 1
                stream.options = extra
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(picture, "rgb24"),
                format=pix_fmt,
                dst_colorspace=Colorspace[colorspace],
                dst_color_range="JPEG" if full else "MPEG",
                threads=1,
            )
            frame.pts, frame.time_base = round(index * 1000 / fps), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        assert stream is not None, "no pictures"
        container.mux(stream.encode(None))
    video = demux(io.BytesIO(target.getvalue()))
    return to_annexb(video) if annexb else video


def _add_stream(
    container: OutputContainer,
    codec: str,
    picture: NDArray[np.uint8],
    fps: float,
    gop: int,
    pix_fmt: str,
) -> av.VideoStream:
    rate = Fraction(fps).limit_denominator(1001)
    stream = cast(av.VideoStream, container.add_stream(_ENCODERS[codec], rate=rate))
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt, stream.gop_size, stream.thread_count = pix_fmt, gop, 1
    stream.codec_context.time_base = Fraction(1, 1000)
    return stream


def _gop_options(codec: str, gop: int, b_frames: int) -> dict[str, str]:
    if codec == "h264":
        return {
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0"
        }
    if codec == "hevc":
        base = _FAST["hevc"]["x265-params"]
        return {
            "x265-params": f"{base}:keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:open-gop=0"
        }
    return {}


def demux(source: str | Path | io.BytesIO) -> Video:
    """Read the first video track of a file, not transcoded; times start at 0."""
    file = str(source) if isinstance(source, str | Path) else source
    with av.open(file, "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        track = Track(
            number=1,
            kind="video",
            codec_id=_CODEC_IDS[context.name.removeprefix("lib")],
            codec_private=bytes(context.extradata or b""),
            width_px=context.width,
            height_px=context.height,
        )
        packets = [
            EncodedPacket(
                pts_ms=round(packet.pts * packet.time_base * 1000),
                keyframe=packet.is_keyframe,
                data=bytes(packet),
            )
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        ]
    first = min(packet.pts_ms for packet in packets)
    return Video(
        track=track,
        packets=tuple(replace(packet, pts_ms=packet.pts_ms - first) for packet in packets),
    )


def to_annexb(video: Video) -> Video:
    """Replace lengths by start codes, and avcC by SPS and PPS with start codes (H.264 only)."""
    private = b"".join(b"\0\0\0\1" + unit for unit in avcc_units(video.track.codec_private))
    return Video(
        track=replace(video.track, codec_private=private),
        packets=tuple(
            replace(p, data=b"".join(b"\0\0\0\1" + u for u in nal_units(p.data)))
            for p in video.packets
        ),
    )


def nal_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a packet with 4-byte lengths."""
    pos = 0
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 4])
        yield data[pos + 4 : pos + 4 + size]
        pos += 4 + size


def avcc_units(avcc: bytes) -> Iterator[bytes]:
    """Yield the parameter sets of an avcC record: SPS first, then PPS."""
    pos = 5
    for mask in (0x1F, 0xFF):
        count, pos = avcc[pos] & mask, pos + 1
        for _ in range(count):
            size = int.from_bytes(avcc[pos : pos + 2])
            yield avcc[pos + 2 : pos + 2 + size]
            pos += 2 + size


def put_media_body(
    video: Video,
    *,
    start_ms: int = START_MS,
    fragment_tags: Mapping[str, str] | None = None,
) -> bytes:
    """Return what a producer sends: one document, a cluster per keyframe.

    Args:
        video: The packets.
        start_ms: Timecode of the first picture: epoch time for ABSOLUTE, 0 for RELATIVE.
        fragment_tags: Metadata sent after every cluster.
    """
    parts = [mkv_write.stream_header([video.track])]
    for fragment in video.fragments():
        parts.append(cluster(video, fragment, start_ms=start_ms))
        if fragment_tags:
            parts.append(mkv_write.tags(fragment_tags))
    return b"".join(parts)


def get_media_body(
    video: Video,
    *,
    start_ms: int = START_MS,
    upload_delay_ms: int = 500,
    first_number: str | None = None,
    millis_behind_now: int = 0,
    fragment_tags: Mapping[str, str] | None = None,
) -> bytes:
    """Return what GetMedia answers: a document per fragment, tags before and after its cluster.

    The producer timestamp of a fragment is ``start_ms`` plus the time of its first picture, the
    server timestamp lies ``upload_delay_ms`` later; numbers begin with ``first_number``.
    """
    return b"".join(
        get_media_fragments(
            video,
            start_ms=start_ms,
            upload_delay_ms=upload_delay_ms,
            first_number=first_number,
            millis_behind_now=millis_behind_now,
            fragment_tags=fragment_tags,
        )
    )


def get_media_fragments(
    video: Video,
    *,
    start_ms: int = START_MS,
    upload_delay_ms: int = 500,
    first_number: str | None = None,
    millis_behind_now: int = 0,
    fragment_tags: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Yield the chunks of :func:`get_media_body`, one per fragment."""
    number = first_number
    for fragment in video.fragments():
        at = start_ms + min(packet.pts_ms for packet in fragment)
        if number is None or fragment is not video.fragments()[0]:
            number = new_number(number, server_timestamp_ms=at + upload_delay_ms)
        before = tags.fragment_tags(
            number, server_timestamp_ms=at + upload_delay_ms, producer_timestamp_ms=at
        )
        yield b"".join((
            mkv_write.stream_header([video.track]),
            mkv_write.tags(before),
            cluster(video, fragment, start_ms=start_ms),
            mkv_write.tags(fragment_tags) if fragment_tags else b"",
            mkv_write.tags(tags.trailing_tags(number, millis_behind_now=millis_behind_now)),
        ))  # fmt: skip


def cluster(video: Video, fragment: Iterable[EncodedPacket], *, start_ms: int) -> bytes:
    """Return one cluster; its timecode is that of the earliest picture."""
    packets = list(fragment)
    at = min(packet.pts_ms for packet in packets)
    blocks = (
        mkv_write.simple_block(
            video.track.number, packet.pts_ms - at, packet.data, keyframe=packet.keyframe
        )
        for packet in packets
    )
    return mkv_write.cluster_start(start_ms + at) + b"".join(blocks)
