"""NAL units of producers that mix start codes and lengths: the same pictures from every form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.decoding import decode
from tests.support.media import encode, moving_shapes, to_annexb

# Frames big enough that a first unit can have any length.
_BIG: dict[str, Any] = {"gop": 10, "options": {"qp": "8"}}


def _sei(size: int) -> bytes:
    """A unit of exactly ``size`` bytes that decoders pass over: user data (H.264, 7.3.2.3)."""
    for more in range(4):
        payload = size - 4 - more
        if payload // 255 == more:
            return b"".join((
                b"\x06\x05", b"\xff" * more, bytes([payload % 255]), b"\xaa" * payload, b"\x80",
            ))  # fmt: skip
    raise AssertionError(size)


@pytest.mark.parametrize("size", [256, 257, 300, 320, 321, 357, 511])
def test_a_length_that_looks_like_a_start_code(size: int) -> None:
    """Under avcC a packet that begins 00 00 01 begins with a unit of 256 to 511 bytes."""
    video = encode(moving_shapes(12), **_BIG)
    unit = _sei(size)
    assert len(unit) == size
    packets = [
        replace(packet, data=len(unit).to_bytes(4) + unit + packet.data) for packet in video.packets
    ]
    assert all(packet.data.startswith(b"\x00\x00\x01") for packet in packets)
    frames = decode(replace(video, packets=tuple(packets)))
    assert len(frames) == 12
    for frame, plain in zip(frames, decode(video), strict=True):
        np.testing.assert_array_equal(frame.to_rgb(), plain.to_rgb())


def test_a_length_of_one_looks_like_a_start_code_too() -> None:
    """A unit of one byte, the end of a sequence, is 00 00 00 01 0A."""
    video = encode(moving_shapes(12), **_BIG)
    packets = [replace(p, data=p.data + b"\x00\x00\x00\x01\x0a") for p in video.packets]
    assert len(decode(replace(video, packets=tuple(packets)))) == 12


@pytest.mark.parametrize("code", [b"\x00\x00\x01", b"\x00\x00\x00\x01"], ids=["short", "long"])
@pytest.mark.parametrize("private", ["annexb", "avcc"])
@pytest.mark.parametrize("form", ["codes", "lengths"])
def test_producers_mix_start_codes_and_lengths(code: bytes, private: str, form: str) -> None:
    """Frames in either form are read under a CodecPrivate in either form."""
    lengths = encode(moving_shapes(12), **_BIG)
    codes = to_annexb(lengths)
    packets = lengths.packets
    if form == "codes":
        packets = tuple(
            replace(p, data=p.data.replace(b"\x00\x00\x00\x01", code)) for p in codes.packets
        )
    track = (codes if private == "annexb" else lengths).track
    frames = decode(replace(lengths, track=track, packets=packets))
    assert len(frames) == 12
    for frame, plain in zip(frames, decode(lengths), strict=True):
        np.testing.assert_array_equal(frame.to_rgb(), plain.to_rgb())
