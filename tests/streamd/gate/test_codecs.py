"""Which codecs' heads can be read."""

from __future__ import annotations

from streamd.gate.codecs import heads_of
from streamd.gate.h264 import H264Heads
from streamd.gate.hevc import HevcHeads
from tests.support.media import encode, moving_shapes


def test_codecs_with_slice_headers_are_read() -> None:
    """H.264, also as AWS's documentation misprints it, and H.265."""
    private = encode(moving_shapes(2), gop=2).track.codec_private
    assert isinstance(heads_of("V_MPEG4/ISO/AVC", private), H264Heads)
    assert isinstance(heads_of("V_MPEG/ISO/AVC", private), H264Heads)
    private = encode(moving_shapes(2), codec="hevc", gop=2).track.codec_private
    assert isinstance(heads_of("V_MPEGH/ISO/HEVC", private), HevcHeads)


def test_others_are_left_alone() -> None:
    """A codec without slice headers, or one nobody knows here."""
    assert heads_of("V_MJPEG", b"") is None
    assert heads_of("V_AV1", b"") is None
