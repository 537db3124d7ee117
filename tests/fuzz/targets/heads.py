"""Heads of H.264 and H.265 pictures, as the gate reads them."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.gate.errors import HeadError
from streamd.gate.h264 import H264Heads
from streamd.gate.hevc import HevcHeads
from tests.fuzz.media import videos

HEAD_BYTES = 3


def run(data: bytes) -> None:
    """A codec, the length of the CodecPrivate, that, and a packet; read twice."""
    if len(data) < HEAD_BYTES:
        return
    size = int.from_bytes(data[1:HEAD_BYTES])
    private, packet = data[HEAD_BYTES : HEAD_BYTES + size], data[HEAD_BYTES + size :]
    found = []
    try:
        heads = (HevcHeads if data[0] & 1 else H264Heads)(private)
        for _ in range(2):
            head = heads.read(packet)
            assert abs(head.qp) < 1 << 33, head
            found.append(head)
    except HeadError:
        assert not found, "what was read once is read again"


def seeds() -> Iterator[bytes]:
    """Yield each kind of picture of small videos."""
    for video in videos():
        if video.track.codec_id not in ("V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC"):
            continue
        kind = bytes([video.track.codec_id == "V_MPEGH/ISO/HEVC"])
        private = video.track.codec_private
        for packet in video.packets[:4]:
            yield kind + len(private).to_bytes(2) + private + packet.data
