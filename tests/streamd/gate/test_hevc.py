"""Slice headers of H.265 against what a real encoder was told to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.gate.errors import HeadError
from streamd.gate.heads import SliceKind
from streamd.gate.hevc import HevcHeads
from tests.support.encoded import damaged, grainy, heads_of, letters, read_some
from tests.support.media import Video, encode, nal_units

FLAT = "*IPPPPPPPPPPP*IPPPPPPPPPPP"
PYRAMID = "*IPBBdBd"


def _encode(count: int = 24, *, params: str = "", gop: int = 12, **how: Any) -> Video:
    base = (
        f"log-level=none:pools=none:qp=30:keyint={gop}:min-keyint={gop}:scenecut=0:b-adapt=0"
        f":open-gop=0:bframes=0"
    )
    options = {
        "crf": "-1",
        "preset": how.pop("preset", "ultrafast"),
        "x265-params": f"{base}:{params}" if params else base,
    }
    width, height = how.pop("size", (192, 144))
    pictures = grainy(count, width_px=width, height_px=height)
    return encode(pictures, codec="hevc", gop=gop, options=options, **how)


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        ({}, FLAT),
        ({"preset": "slow"}, FLAT),
        ({"params": "weightp=1:ref=3"}, FLAT),
        ({"params": "scaling-list=default"}, FLAT),
        ({"params": "wpp=0:sao=1:tskip=1"}, FLAT),
        ({"params": "repeat-headers=1"}, FLAT),
        ({"pix_fmt": "yuv444p"}, FLAT),
        ({"params": "bframes=3", "gop": 30, "count": 14}, PYRAMID),
        ({"params": "bframes=3:weightb=1", "preset": "slow", "gop": 30, "count": 14}, PYRAMID),
        ({"params": "temporal-layers=1:bframes=3", "gop": 30, "count": 14}, "*IPB"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_quantiser_and_kind_of_every_picture(how: dict[str, Any], kinds: str) -> None:
    """What the encoder was told is what is read: 30 for P, 3 less for I, 1 or 2 more for B."""
    video = _encode(**how)
    heads = heads_of(video, HevcHeads(video.track.codec_private))
    assert letters(heads).startswith(kinds)
    expected = {SliceKind.I: {27.0}, SliceKind.P: {30.0}, SliceKind.B: {31.0, 32.0}}
    assert all(head.qp in expected[head.kind] for head in heads)


def test_start_codes() -> None:
    """Parameter sets and pictures behind start codes are read alike."""
    video = _encode(3, params="repeat-headers=1")
    heads = HevcHeads(b"")
    for packet in video.packets:
        data = b"".join(b"\0\0\1" + unit for unit in nal_units(packet.data))
        assert heads.read(data).qp in (27, 30)


def test_open_groups_are_not_read() -> None:
    """A CRA picture is no entry, and what is shown before it is an error."""
    video = _encode(30, params="open-gop=1:bframes=3:keyint=10:min-keyint=10")
    heads = HevcHeads(video.track.codec_private)
    entries, refused = [], 0
    for packet in video.packets:
        try:
            entries.append(heads.read(packet.data).is_entry)
        except HeadError:
            refused += 1
    assert entries.count(True) == 1
    assert refused > 0


@pytest.fixture(scope="module")
def video() -> Video:
    """B-frames and weights."""
    return _encode(8, params="bframes=3:weightb=1", preset="medium")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_one_kind_of_error(data: st.DataObject, video: Video) -> None:
    """Whatever is overwritten or missing, a head is read or it is a HeadError."""
    private = data.draw(damaged(video.track.codec_private))
    packets = [data.draw(damaged(packet.data)) for packet in video.packets[:3]]
    read_some(HevcHeads, private, packets)
    whole = [packet.data for packet in video.packets]
    assert read_some(HevcHeads, video.track.codec_private, whole) == len(whole)
