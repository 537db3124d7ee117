"""Slice headers of H.264 against what a real encoder was told to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.gate.errors import HeadError
from streamd.gate.h264 import H264Heads
from streamd.gate.heads import SliceKind
from tests.support.encoded import damaged, grainy, heads_of, letters, read_some
from tests.support.media import Video, avcc_units, encode, nal_units

FLAT = "*IPPPPPPPPPPP*IPPPPPPPPPPP"
PYRAMID = "*IPBBdBdPBBdBdP"


def _encode(count: int = 24, *, params: str = "", gop: int = 12, **how: Any) -> Video:
    options = {"crf": "-1", "qp": "30", "preset": "medium", **how.pop("options", {})}
    if params:
        b_frames = how.get("b_frames", 0)
        options["x264-params"] = (
            f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0:{params}"
        )
    return encode(grainy(count), gop=gop, options=options, **how)


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        ({}, FLAT),
        ({"options": {"coder": "vlc"}}, FLAT),
        ({"options": {"profile": "baseline"}}, FLAT),
        ({"annexb": True}, FLAT),
        ({"params": "slices=4"}, FLAT),
        ({"params": "weightp=2"}, FLAT),
        ({"params": "cqm=jvt"}, FLAT),
        ({"params": "ref=5:mixed-refs=1"}, FLAT),
        ({"pix_fmt": "yuv444p"}, FLAT),
        ({"b_frames": 3, "gop": 30, "count": 14}, PYRAMID),
        ({"b_frames": 3, "gop": 30, "count": 14, "params": "weightb=1:direct=spatial"}, PYRAMID),
        ({"b_frames": 3, "gop": 30, "count": 14, "params": "direct=temporal"}, PYRAMID),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_quantiser_and_kind_of_every_picture(how: dict[str, Any], kinds: str) -> None:
    """What the encoder was told is what is read: 30 for P, 3 less for I, 1 or 2 more for B."""
    video = _encode(**how)
    heads = heads_of(video, H264Heads(video.track.codec_private))
    assert letters(heads).startswith(kinds)
    expected = {SliceKind.I: {27.0}, SliceKind.P: {30.0}, SliceKind.B: {31.0, 32.0}}
    assert all(head.qp in expected[head.kind] for head in heads)


@pytest.mark.parametrize("quantiser", [11, 24, 40, 51])
def test_quantisers(quantiser: int) -> None:
    """Any quantiser is read, with offsets from the parameter set and without."""
    video = _encode(3, options={"qp": str(quantiser)})
    heads = heads_of(video, H264Heads(video.track.codec_private))
    assert [head.qp for head in heads[1:]] == [quantiser, quantiser]


def test_ten_bits() -> None:
    """With 10 bits quantisers begin at -12, and the encoder's 30 is written as 18."""
    video = _encode(3, pix_fmt="yuv420p10le")
    assert [head.qp for head in heads_of(video, H264Heads(video.track.codec_private))] == [
        15,
        18,
        18,
    ]


def test_parameter_sets_in_the_stream() -> None:
    """Without a CodecPrivate the sets in front of the picture are taken."""
    video = _encode(3)
    heads = H264Heads(b"")
    first, second, _ = video.packets
    with pytest.raises(HeadError, match="parameter sets are missing"):
        heads.read(b"".join(b"\0\0\0\1" + unit for unit in nal_units(first.data)))
    units = [*avcc_units(video.track.codec_private), *nal_units(first.data)]
    assert heads.read(b"".join(b"\0\0\0\1" + unit for unit in units)).is_entry
    units = list(nal_units(second.data))
    assert heads.read(b"".join(b"\0\0\1" + unit for unit in units)).qp == 30


def test_interlaced_video_is_not_read() -> None:
    """Fields and field pairs are an error, not a wrong number."""
    video = _encode(4, params="interlaced=1")
    with pytest.raises(HeadError, match="interlaced"):
        heads_of(video, H264Heads(video.track.codec_private))


def test_keyframe_of_an_open_group_is_no_entry() -> None:
    """A picture to begin at that is no IDR picture does not end the group before it."""
    video = _encode(30, params="open-gop=1", gop=10, b_frames=2)
    heads = heads_of(video, H264Heads(video.track.codec_private))
    marked = [head for head, packet in zip(heads, video.packets, strict=True) if packet.keyframe]
    assert [head.is_entry for head in marked] == [True, False, False]


@pytest.fixture(scope="module")
def video() -> Video:
    """B-frames and weights."""
    return _encode(8, b_frames=2, params="weightp=2:weightb=1")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_one_kind_of_error(data: st.DataObject, video: Video) -> None:
    """Whatever is overwritten or missing, a head is read or it is a HeadError."""
    private = data.draw(damaged(video.track.codec_private))
    packets = [data.draw(damaged(packet.data)) for packet in video.packets[:3]]
    read_some(H264Heads, private, packets)
    whole = [packet.data for packet in video.packets]
    # One parameter set may have been damaged, and then all that refers to it.
    assert read_some(H264Heads, video.track.codec_private, whole) == len(whole)
