"""Start codes, lengths, parameter sets, ADTS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.producer import bitstream

# A NAL unit holds no start code (emulation prevention) and does not end in a zero.
units_strategy = st.lists(
    st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\x00", b"\x01") + b"\x80"),
    min_size=1,
    max_size=8,
)


@given(
    units=units_strategy,
    codes=st.lists(st.sampled_from([b"\x00\x00\x01", b"\x00\x00\x00\x01"]), min_size=8, max_size=8),
    padding=st.integers(0, 4),
)
def test_splitting_undoes_joining(units: list[bytes], codes: list[bytes], padding: int) -> None:
    """Units come back whole whatever start codes and padding stand between them."""
    joined = b"".join(
        code + unit + b"\x00" * padding for code, unit in zip(codes, units, strict=False)
    )
    assert bitstream.split_annexb(joined) == units


@given(st.binary(max_size=200))
def test_splitting_takes_anything(data: bytes) -> None:
    """Random bytes give units without start codes, or none."""
    for unit in bitstream.split_annexb(data):
        assert unit
        assert b"\x00\x00\x01" not in unit


def test_length_prefixes() -> None:
    """Each unit stands behind its length in four bytes."""
    assert bitstream.length_prefixed([b"ab", b"c"]) == b"\x00\x00\x00\x02ab\x00\x00\x00\x01c"


@pytest.mark.parametrize(
    ("extradata", "is_annexb"),
    [
        (bytes.fromhex("0000000167640028"), True),
        (bytes.fromhex("00000167640028"), True),
        (bytes.fromhex("0164000dffe10018"), False),
        (b"", False),
    ],
)
def test_annexb_extradata(extradata: bytes, is_annexb: bool) -> None:
    """avcC begins with its version, a byte stream with a start code."""
    assert bitstream.is_annexb(extradata) is is_annexb


def test_parameter_sets() -> None:
    """SPS and PPS of H.264; VPS, too, of H.265."""
    sps, pps, idr, aud = b"\x67a", b"\x68b", b"\x65c", b"\x09d"
    assert bitstream.parameter_sets("h264", [aud, sps, pps, idr]) == [sps, pps]
    vps, sps5, pps5, slice5 = b"\x40\x01", b"\x42\x01", b"\x44\x01", b"\x26\x01"
    assert bitstream.parameter_sets("hevc", [vps, sps5, pps5, slice5]) == [vps, sps5, pps5]


def test_aac_config() -> None:
    """AAC-LC at 44.1 kHz in stereo is 12 10, as every book on the matter says."""
    assert bitstream.aac_config(44100, 2) == b"\x12\x10"
    assert bitstream.aac_config(8000, 1) == b"\x15\x88"


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        (b"\xff\xf1\x50\x80\x01\x1f\xfcframe", b"frame"),
        (b"\xff\xf0\x50\x80\x01\x1f\xfcCRframe", b"frame"),
        (b"\x21raw frame", b"\x21raw frame"),
        (b"\xff", b"\xff"),
    ],
    ids=["no crc", "crc", "raw", "short"],
)
def test_adts_is_stripped(data: bytes, frame: bytes) -> None:
    """The header goes, with its checksum; a frame without one stays."""
    assert bitstream.strip_adts(data) == frame
