"""H.264, H.265 and AAC of cameras: start codes, parameter sets, avcC and hvcC."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.kvs.nal import NalForm, are_lengths, length_size
from streamd.producer import bitstream
from streamd.producer.tracks import VideoTrack
from tests.fuzz.media import videos

HEAD_BYTES = 4


def run(data: bytes) -> None:
    """A codec, the length of the codec's parameters, those, and a packet."""
    if len(data) < HEAD_BYTES:
        return
    codec = ("h264", "hevc")[data[0] & 1]
    size = int.from_bytes(data[1:3])
    extradata, packet = data[HEAD_BYTES : HEAD_BYTES + size], data[HEAD_BYTES + size :]
    _check_form(codec, extradata, packet)
    units = bitstream.split_annexb(packet)
    assert all(units), "an empty unit"
    track = VideoTrack(codec, extradata, width_px=64, height_px=48)
    sent = track.convert(packet)
    if extradata and not bitstream.is_annexb(extradata):
        assert sent == packet, "length prefixes pass through"
    else:
        assert _units(sent) == units
    if track.track is not None:
        assert not bitstream.is_annexb(track.track.codec_private)
    assert packet.endswith(bitstream.strip_adts(packet))


def _check_form(codec: str, extradata: bytes, packet: bytes) -> None:
    fitted = NalForm(codec, extradata).fit(packet)
    assert bool(fitted) == bool(packet), "an empty packet would end a decoder"
    if fitted != packet:
        size = length_size(codec, extradata)
        assert are_lengths(fitted, size) if size else fitted.startswith(b"\0\0\0\1")


def _units(data: bytes) -> list[bytes]:
    units, pos = [], 0
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 4])
        units.append(data[pos + 4 : pos + 4 + size])
        pos += 4 + size
    return units


def seeds() -> Iterator[bytes]:
    """Yield parameters and first packets of small videos, as avcC, hvcC and start codes."""
    for video in videos():
        kind = bytes([video.track.codec_id == "V_MPEGH/ISO/HEVC"])
        private, packet = video.track.codec_private, video.packets[0].data
        yield kind + len(private).to_bytes(2) + b"\0" + private + packet
        yield kind + b"\0\0\0" + packet
