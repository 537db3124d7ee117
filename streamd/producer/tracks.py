"""Video tracks as Kinesis Video wants them, whatever form the source's packets have."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import av.error
import av.video

from streamd.kvs.mkv_parts import Track
from streamd.producer import bitstream
from streamd.producer.media import VIDEO_TRACK

__all__ = ["CODEC_IDS", "VideoTrack", "decoder_record"]

CODEC_IDS = {"h264": "V_MPEG4/ISO/AVC", "hevc": "V_MPEGH/ISO/HEVC"}


class VideoTrack:
    """The video track of a source, following it when it changes.

    Packets with start codes (raw files, RTSP, MPEG-TS, encoders) get length prefixes and
    their parameter sets become the CodecPrivate; the others pass through.
    """

    def __init__(self, codec: str, extradata: bytes, *, width_px: int, height_px: int) -> None:
        self._codec = codec
        self._sets: list[bytes] = []
        self.track: Track | None = None
        """``None`` until parameter sets were seen."""
        # The packets themselves do not tell: a length of 256 to 511 looks like a start code.
        self._has_start_codes = not extradata or bitstream.is_annexb(extradata)
        if extradata and self._has_start_codes:
            sets = bitstream.parameter_sets(codec, bitstream.split_annexb(extradata))
            self._learn(sets, [])
        elif extradata:
            self.replace(extradata, width_px=width_px, height_px=height_px)

    def replace(self, extradata: bytes, *, width_px: int, height_px: int) -> None:
        """Take a new avcC or hvcC record."""
        self.track = Track(
            number=VIDEO_TRACK,
            kind="video",
            codec_id=CODEC_IDS[self._codec],
            codec_private=extradata,
            width_px=width_px,
            height_px=height_px,
        )

    def convert(self, data: bytes) -> bytes:
        """Return the packet with length prefixes; may change :attr:`track`."""
        if not self._has_start_codes:
            return data
        units = bitstream.split_annexb(data)
        sets = bitstream.parameter_sets(self._codec, units)
        if self.track is None or not set(sets) <= set(self._sets):
            self._learn(sets, units)
        return bitstream.length_prefixed(units)

    def _learn(self, sets: list[bytes], units: list[bytes]) -> None:
        kinds = {unit[0] for unit in sets}
        # A camera may send its PPS alone; the sets it does not repeat stay.
        self._sets = [unit for unit in self._sets if unit[0] not in kinds] + sets
        others = [unit for unit in units if unit not in self._sets]
        record = decoder_record(self._codec, self._sets + others)
        if record is not None:
            extradata, width_px, height_px = record
            self.replace(extradata, width_px=width_px, height_px=height_px)


def decoder_record(codec: str, units: list[bytes]) -> tuple[bytes, int, int] | None:
    """Return avcC or hvcC and the picture's width and height, ``None`` if units do not tell.

    libavformat's own muxer writes the record: hvcC needs a parsed SPS and VPS.
    """
    raw = b"".join(b"\x00\x00\x00\x01" + unit for unit in units)
    muxed = io.BytesIO()
    try:
        with av.open(io.BytesIO(raw), format=codec) as source:
            stream = source.streams.video[0]
            width_px, height_px = stream.codec_context.width, stream.codec_context.height
            with av.open(muxed, "w", format="matroska") as sink:
                packet = av.Packet(raw)
                packet.stream = sink.add_stream_from_template(stream)
                packet.pts = packet.dts = 0
                packet.time_base = Fraction(1, 1000)
                packet.is_keyframe = True
                sink.mux(packet)
        with av.open(io.BytesIO(muxed.getvalue())) as written:
            extradata = written.streams.video[0].codec_context.extradata
    except (av.error.FFmpegError, IndexError, ValueError):
        return None
    if not extradata or bitstream.is_annexb(extradata) or not width_px or not height_px:
        return None
    return extradata, width_px, height_px
