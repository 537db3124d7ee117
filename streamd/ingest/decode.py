"""Packets in, frames out: the one door to PyAV's decoders and its scaler. Blocking.

A :class:`Decoder` belongs to one session. It takes another codec, CodecPrivate or picture size
in mid-stream, survives damaged packets (it then waits for the next keyframe: pictures concealed
by the decoder are not flagged and would be analysed as if they were real), and says of every
frame exactly which block of which fragment it is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.picture import pixel_rectangle
from streamd.ingest.errors import DecodeError, PictureTooLargeError, UnsupportedCodecError
from streamd.ingest.hardware import NO_DEVICE, open_hardware
from streamd.ingest.inflight import InFlight, PacketPlace
from streamd.kvs.fragments import FragmentInfo, Packet
from streamd.kvs.mkv_parts import Track
from streamd.kvs.nal import NalForm

__all__ = ["DecodedFrame", "Decoder", "DecoderStats"]

logger = logging.getLogger(__name__)

DEFAULT_MAX_PIXELS: Final = 8192 * 4320

_CODECS: Final = {
    "V_MPEG4/ISO/AVC": "h264",
    "V_MPEG/ISO/AVC": "h264",  # as AWS's documentation misprints it, and producers copied
    "V_MPEGH/ISO/HEVC": "hevc",
    "V_MJPEG": "mjpeg",
    "V_MPEG4/ISO/ASP": "mpeg4",
    "V_VP8": "vp8",
    "V_VP9": "vp9",
    "V_AV1": "av1",
}
_NAL_CODECS: Final = ("h264", "hevc")
_VFW: Final = "V_MS/VFW/FOURCC"
_FOURCCS: Final = {
    b"MJPG": "mjpeg", b"H264": "h264", b"X264": "h264", b"AVC1": "h264",
    b"HEVC": "hevc", b"H265": "hevc", b"HVC1": "hevc", b"XVID": "mpeg4",
}  # fmt: skip
_BITMAP_HEADER_BYTES: Final = 40

_UNSPECIFIED_MATRICES: Final = (0, 2)  # RGB (YUV frames cannot be), unspecified: ITU-T H.273
_UNSPECIFIED_RANGE: Final = 0
_local = threading.local()


@dataclass(slots=True)
class DecoderStats:
    """What a decoder has counted since it was made."""

    packets: int = 0
    frames: int = 0
    """Frames given out."""
    damaged_packets: int = 0
    """Packets the decoder refused."""
    skipped_packets: int = 0
    """Packets passed over while waiting for a keyframe."""
    disposed_packets: int = 0
    """Packets passed over because nobody wanted their frames."""
    corrupt_frames: int = 0
    """Frames the decoder marked as damaged, not given out."""


class DecodedFrame:
    """One decoded frame and its place; a :class:`processors.picture.Picture`.

    It holds a buffer of the decoder (3 MB for 1080p): read it and let it go.
    """

    __slots__ = ("_frame", "_luma", "_place")

    def __init__(self, frame: av.VideoFrame, place: PacketPlace) -> None:
        self._frame = frame
        self._place = place
        self._luma: tuple[tuple[Box, int, int], NDArray[np.uint8]] | None = None

    @property
    def fragment(self) -> FragmentInfo:
        """The fragment the frame's packet came in."""
        return self._place.fragment

    @property
    def offset_ns(self) -> int:
        """Block time minus cluster time, exactly."""
        return self._place.offset_ns

    @property
    def offset_seconds(self) -> float:
        """The offset in seconds."""
        return self._place.offset_ns / 1e9

    @property
    def keyframe(self) -> bool:
        """Whether the frame's block was marked as a keyframe."""
        return self._place.keyframe

    @property
    def is_corrupt(self) -> bool:
        """Whether the decoder found damage in the frame."""
        return bool(self._frame.is_corrupt)

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return self._frame.width

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return self._frame.height

    def rgb(self, region: Box, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """See :meth:`processors.picture.Picture.rgb`: one pass from YUV, area averaging.

        Where chroma has half the resolution the region's left and top edge move outwards to
        the next whole chroma sample, which is at most one pixel.
        """
        rectangle = pixel_rectangle(self, region)
        return _to_rgb(_cropped(self._frame, rectangle), width_px, height_px)

    def luma(self, region: Box, *, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """Return the brightness of ``region`` as ``(height_px, width_px)``: one pass, averaged.

        For 1080p to 160 x 90 it costs 0.2 to 0.4 ms, a tenth of decoding the frame. Who asks for
        the same again gets the same array: it is not to be changed.

        Raises:
            ValueError: If nothing of the region lies inside the picture.
            DecodeError: If pictures of this format cannot be scaled.

        """
        asked = (region, width_px, height_px)
        if self._luma is None or self._luma[0] != asked:
            part = _cropped(self._frame, pixel_rectangle(self, region))
            self._luma = asked, _scaled(part, width_px, height_px, "gray")
        return self._luma[1]

    def to_rgb(self) -> NDArray[np.uint8]:
        """Return the whole picture as RGB at its own size."""
        return self.rgb(WHOLE_PICTURE, width_px=self.width_px, height_px=self.height_px)


class Decoder:
    """Decodes the video track of one session; used by one thread at a time."""

    def __init__(
        self,
        *,
        max_frame_pixels: int = DEFAULT_MAX_PIXELS,
        keep_corrupt: bool = False,
        hardware: str = NO_DEVICE,
        skips: Callable[[Packet], bool] | None = None,
    ) -> None:
        """Create a decoder; the codec is chosen by the first packet.

        Args:
            max_frame_pixels: Larger pictures are refused before they are decoded.
            keep_corrupt: Give out frames the decoder marked as damaged.
            hardware: Device to decode on, see :func:`streamd.ingest.hardware.open_hardware`.
            skips: Asked of every packet that is to be decoded, in decoding order; those it says
                yes to are not. It must know that no other picture refers to theirs.
        """
        self.stats = DecoderStats()
        self._max_frame_pixels = max_frame_pixels
        self._keep_corrupt = keep_corrupt
        self._hardware = hardware
        self._skips = skips
        self._is_unproved = False  # a device's decoder that has given no frame yet
        self._context: VideoCodecContext | None = None
        self._codec: tuple[str, bytes] | None = None
        self._nal_form: NalForm | None = None  # of codecs that have NAL units
        self._in_flight = InFlight()
        self._fragment: FragmentInfo | None = None
        self._awaits_keyframe = True

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedFrame]:
        """Decode packets and yield the frames that become ready, in the order they are shown.

        Raises:
            DecodeError: If there is no decoder for the codec, or the pictures are too large.

        """
        for packet in packets:
            yield from self._decode_one(packet)

    def end_fragment(self, fragment: FragmentInfo) -> None:
        """Say that all packets of the fragment were given; it completes when its frames are out."""
        self._in_flight.end(fragment)

    def completed_fragments(self) -> list[FragmentInfo]:
        """Return, once each, ended fragments of which no more frames can come."""
        return self._in_flight.completed()

    def drain(self) -> Iterator[DecodedFrame]:
        """Yield the frames still inside: at the end, or where the next packet does not follow on.

        A fragment that was not ended will not complete. Decoding then goes on at a keyframe.
        """
        yield from self.flush()
        self._in_flight.clear()
        self._fragment = None

    def flush(self) -> Iterator[DecodedFrame]:
        """Yield the frames still inside, at once; decoding then goes on at a keyframe.

        Unlike :meth:`drain` it leaves the fragments as they are: more packets may come of the
        last one.
        """
        if self._context is not None:
            try:
                frames = self._context.decode(None)
            except av.FFmpegError:
                frames = []
                self.stats.damaged_packets += 1
            yield from self._placed(frames)
            self._context.flush_buffers()
        self._in_flight.settle()
        self._awaits_keyframe = True

    def rest(self) -> None:
        """Free what is held for pictures to come (20 MB at 1080p), until the next packet comes.

        To be called after :meth:`flush`. Opening a decoder again takes a tenth of a keyframe's
        decoding. A device keeps what it has: nothing of it is in this process's memory.
        """
        if self._context is not None and not self._context.is_hwaccel:
            self._context = None

    def close(self) -> None:
        """Free the decoder's memory; may be called twice."""
        self._context = self._codec = None
        self._in_flight.clear()

    def _decode_one(self, packet: Packet) -> Iterator[DecodedFrame]:
        self.stats.packets += 1
        # A fragment begins with a keyframe by the rules of the service, whatever its flag says.
        begins = packet.keyframe or packet.fragment is not self._fragment
        self._fragment = packet.fragment
        self._in_flight.begin(packet.fragment)
        if not packet.data:  # an empty packet would end the decoder
            return
        track = packet.fragment.video
        assert track is not None, "packets come from a video track"
        if (track.codec_id, track.codec_private) != self._codec:
            yield from self._change_codec(track)
        if self._context is None:
            self._context = _open_context(track, self._max_frame_pixels, self._hardware)
        if self._awaits_keyframe and not begins:
            self.stats.skipped_packets += 1
            return
        self._awaits_keyframe = False
        if self._skips is not None and self._skips(packet):
            self.stats.disposed_packets += 1
            return
        number = self._in_flight.add(packet)
        try:
            frames = self._feed_proving(track, packet.data, number)
        except av.FFmpegError as error:
            self._in_flight.drop(number)
            self.stats.damaged_packets += 1
            self._awaits_keyframe = True
            self._refuse_large_pictures(track, error)
            return
        yield from self._placed(frames)

    def _feed_proving(self, track: Track, data: bytes, number: int) -> list[av.VideoFrame]:
        """Feed a packet; a device that refuses its first one is given up for the CPU."""
        try:
            frames = self._feed(data, number)
        except av.FFmpegError as error:
            if not self._is_unproved:
                raise
            logger.warning("the device cannot decode this stream, the CPU does: %s", error)
            self._hardware, self._is_unproved = NO_DEVICE, False
            self._context = _open_context(track, self._max_frame_pixels, NO_DEVICE)
            return self._feed(data, number)
        self._is_unproved = self._is_unproved and not frames
        return frames

    def _feed(self, data: bytes, number: int) -> list[av.VideoFrame]:
        assert self._context is not None
        # libav reads packets as the extradata says, and guesses where they are otherwise.
        raw = av.Packet(self._nal_form.fit(data) if self._nal_form is not None else data)
        raw.pts = raw.dts = number
        return self._context.decode(raw)

    def _placed(self, frames: Sequence[av.VideoFrame]) -> Iterator[DecodedFrame]:
        for frame in frames:
            place = self._in_flight.take(frame.pts)
            if place is None:
                continue
            if frame.is_corrupt:
                self.stats.corrupt_frames += 1
                if not self._keep_corrupt:
                    continue
            self.stats.frames += 1
            yield DecodedFrame(frame, place)

    def _change_codec(self, track: Track) -> Iterator[DecodedFrame]:
        previous, self._context = self._context, None
        is_change, self._codec = self._codec is not None, None
        if previous is not None:
            # Not drain(): the fragments before stay known, and complete.
            try:
                yield from self._placed(previous.decode(None))
            except av.FFmpegError:
                self.stats.damaged_packets += 1
        if is_change:
            logger.info("the video's codec settings changed", extra={"codec": track.codec_id})
        self._context = _open_context(track, self._max_frame_pixels, self._hardware)
        self._is_unproved = bool(self._context.is_hwaccel)
        codec, private = _codec_of(track)
        self._nal_form = NalForm(codec, private) if codec in _NAL_CODECS else None
        self._codec = (track.codec_id, track.codec_private)
        self._awaits_keyframe = True

    def _refuse_large_pictures(self, track: Track, error: av.FFmpegError) -> None:
        # Decoders answer max_pixels with whatever error they like; the size tells.
        assert self._context is not None
        sizes = ((self._context.width, self._context.height), (track.width_px, track.height_px))
        for width, height in sizes:
            if width * height > self._max_frame_pixels:
                raise PictureTooLargeError(width, height, self._max_frame_pixels) from error


def _open_context(track: Track, max_pixels: int, hardware: str) -> VideoCodecContext:
    name, extradata = _codec_of(track)
    try:
        context = open_hardware(name, hardware) or cast(
            VideoCodecContext, av.CodecContext.create(name, "r")
        )
        context.thread_count = 1  # many streams share the cores; more threads gain nothing
        context.options = {"max_pixels": str(max_pixels)}
        if extradata:
            context.extradata = extradata
    except (ValueError, av.FFmpegError) as error:
        raise UnsupportedCodecError(track.codec_id, "this build has no decoder for it") from error
    return context


def _codec_of(track: Track) -> tuple[str, bytes]:
    if track.codec_id != _VFW:
        if track.codec_id not in _CODECS:
            raise UnsupportedCodecError(track.codec_id)
        return _CODECS[track.codec_id], track.codec_private
    # CodecPrivate is a BITMAPINFOHEADER: its size, ..., the FOURCC at 16, then extra data.
    private = track.codec_private
    fourcc = private[16:20].upper()
    if len(private) < _BITMAP_HEADER_BYTES or fourcc not in _FOURCCS:
        raise UnsupportedCodecError(track.codec_id, f"FOURCC {fourcc!r}")
    return _FOURCCS[fourcc], private[_BITMAP_HEADER_BYTES:]


def _cropped(frame: av.VideoFrame, rectangle: tuple[int, int, int, int]) -> av.VideoFrame:
    """Return the part of a frame as a frame of its own.

    Copying the rows costs 0.06 ms for most of a 1080p picture, a tenth of scaling it; PyAV has
    no way to set plane pointers, and a filter graph per rectangle costs more than the copy.
    """
    left, top, right, bottom = rectangle
    if (left, top, right, bottom) == (0, 0, frame.width, frame.height):
        return frame
    layout = _plane_layout(frame)
    if layout is None:  # palettes, packed 4:2:2 and the like: rare, so by way of RGB
        whole = _to_rgb(frame, frame.width, frame.height)
        part = np.ascontiguousarray(whole[top:bottom, left:right])
        return av.VideoFrame.from_ndarray(part, format="rgb24")
    step_x = max(x for x, _, _ in layout)
    step_y = max(y for _, y, _ in layout)
    left, top = left // step_x * step_x, top // step_y * step_y
    part_frame = av.VideoFrame(right - left, bottom - top, frame.format.name)
    for source, target, (x, y, size) in zip(frame.planes, part_frame.planes, layout, strict=True):
        rows, columns = target.height, target.width * size
        begin = left // x * size
        _rows(target)[:rows, :columns] = _rows(source)[
            top // y : top // y + rows, begin : begin + columns
        ]
    part_frame.colorspace, part_frame.color_range = frame.colorspace, frame.color_range
    return part_frame


def _rows(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    return pixels.reshape(-1, plane.line_size)


def _plane_layout(frame: av.VideoFrame) -> list[tuple[int, int, int]] | None:
    """Return per plane: pixels a sample spans across and down, bytes a sample takes."""
    shape = frame.format
    if shape.has_palette or shape.is_bit_stream or any(p.line_size <= 0 for p in frame.planes):
        return None
    layout = []
    for index in range(len(frame.planes)):
        parts = [c for c in shape.components if c.plane == index]
        sizes = {(c.width, c.height) for c in parts}
        bits = {c.bits for c in parts}
        if len(sizes) != 1 or (bits != {8} and len(parts) > 1) or min(bits, default=0) < 8:
            return None
        columns, rows = sizes.pop()
        sample_bytes = len(parts) if bits == {8} else 2
        layout.append((-(-frame.width // columns), -(-frame.height // rows), sample_bytes))
    return layout


def _to_rgb(frame: av.VideoFrame, width_px: int, height_px: int) -> NDArray[np.uint8]:
    return _scaled(frame, width_px, height_px, "rgb24")


def _scaled(frame: av.VideoFrame, width_px: int, height_px: int, pix_fmt: str) -> NDArray[np.uint8]:
    # One per thread, for it is not thread-safe; and per format, for it is set up anew for every
    # other size, and a stream's pictures are scaled to one size of each.
    scalers = _local.__dict__.setdefault("scalers", {})
    scaler = scalers.get(pix_fmt)
    if scaler is None:
        scaler = scalers[pix_fmt] = VideoReformatter()
    try:
        scaled = scaler.reformat(
            frame,
            width_px,
            height_px,
            pix_fmt,
            src_colorspace=_matrix_of(frame),
            interpolation="AREA",
            threads=1,  # else every picture fans out over all cores
        )
    except av.FFmpegError as error:
        raise DecodeError(
            f"a {frame.format.name} picture of {frame.width} x {frame.height} "
            f"cannot be scaled to {width_px} x {height_px}"
        ) from error
    return np.ascontiguousarray(scaled.to_ndarray(), dtype=np.uint8)


def _matrix_of(frame: av.VideoFrame) -> Colorspace | None:
    """Return the matrix to assume where the stream names none, as players do: 709 for HD."""
    if frame.format.is_rgb or frame.colorspace not in _UNSPECIFIED_MATRICES:
        return None
    is_hd = frame.width >= 1280 or frame.height > 576
    return Colorspace.ITU709 if is_hd else Colorspace.ITU601
