"""Decoding: every frame at its place, true colours, and damage that does not spread."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from processors.geometry import WHOLE_PICTURE, Box
from processors.picture import ArrayPicture, Picture
from streamd.ingest.decode import DecodedFrame, Decoder
from streamd.ingest.errors import PictureTooLargeError, UnsupportedCodecError
from streamd.kvs.fragments import FragmentEnded, Packet
from streamd.kvs.mkv import Track
from tests.support.decoding import Event, decode, events_of, run
from tests.support.media import (
    EncodedPacket,
    Video,
    demux,
    encode,
    moving_shapes,
    solid,
    to_annexb,
)
from tests.support.shared import MEDIA, needs_shared


def damage(events: list[Event], index: int, data: bytes) -> list[Event]:
    """The events with another packet at the index-th packet's place."""
    packets = [event for event in events if isinstance(event, Packet)]
    return [replace(event, data=data) if event is packets[index] else event for event in events]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"b_frames": 3},
        {"annexb": True},
        {"codec": "hevc"},
        {"codec": "hevc", "b_frames": 2},
        {"codec": "mjpeg"},
        {"pix_fmt": "yuv444p"},
    ],
    ids=lambda how: "-".join(map(str, how.values())) or "h264",
)
def test_every_frame_at_its_place(how: dict[str, Any]) -> None:
    """Frames come in the order they are shown, each with the fragment and time of its block."""
    video = encode(moving_shapes(20), gop=10, **how)
    events = events_of(video)
    frames = run(Decoder(), events)
    expected = sorted(
        (event.fragment.number, event.offset_ns) for event in events if isinstance(event, Packet)
    )
    assert [(frame.fragment.number, frame.offset_ns) for frame in frames] == expected
    assert len(frames) == 20


def test_pictures_are_those_encoded() -> None:
    """The n-th frame shows the n-th picture, B-frames or not."""
    pictures = list(moving_shapes(20))
    for frame, picture in zip(decode(encode(pictures, gop=10, b_frames=3)), pictures, strict=True):
        difference = np.abs(frame.to_rgb().astype(int) - picture)
        assert difference.mean() < 3


def test_fragments_complete_when_their_last_frame_is_out() -> None:
    """Without reordering a fragment completes at its end, before the next begins."""
    decoder = Decoder()
    events = events_of(encode(moving_shapes(20), gop=10))
    end = next(i for i, event in enumerate(events) if isinstance(event, FragmentEnded))
    frames = list(decoder.decode([event for event in events[:end] if isinstance(event, Packet)]))
    assert len(frames) == 10
    assert decoder.completed_fragments() == []
    fragment = frames[0].fragment
    decoder.end_fragment(fragment)
    assert decoder.completed_fragments() == [fragment]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_fragments_complete_in_order_with_b_frames(codec: str) -> None:
    """No frame of a fragment comes after it was reported complete; all are reported."""
    decoder, done, late = Decoder(), [], []
    events = events_of(encode(moving_shapes(40), gop=10, b_frames=3, codec=codec))
    for event in events:
        if isinstance(event, Packet):
            late += [f for f in decoder.decode([event]) if f.fragment.number in done]
        else:
            decoder.end_fragment(event.fragment)
        done += [fragment.number for fragment in decoder.completed_fragments()]
    list(decoder.drain())
    done += [fragment.number for fragment in decoder.completed_fragments()]
    assert late == []
    assert done == [event.fragment.number for event in events if isinstance(event, FragmentEnded)]


COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 64, 200)]


@pytest.mark.parametrize(
    "how",
    [
        {"colorspace": "ITU601"},
        {"colorspace": "ITU709"},
        {"pix_fmt": "yuvj420p"},
        {"pix_fmt": "yuv444p"},
        {"pix_fmt": "yuvj420p", "colorspace": "ITU709"},
        {"codec": "mjpeg"},
        {"codec": "hevc", "colorspace": "ITU709"},
    ],
    ids=lambda how: "-".join(how.values()),
)
def test_red_is_red(how: dict[str, Any]) -> None:
    """Known colours come back, whatever matrix and range the stream uses."""
    for color in COLORS:
        (frame,) = decode(encode(solid(color, width_px=64, height_px=48), **how))
        assert np.abs(frame.to_rgb()[20, 20].astype(int) - color).max() <= 5
        part = frame.rgb(Box(left=0.3, top=0.3, width=0.3, height=0.3), width_px=9, height_px=7)
        assert np.abs(part[3, 3].astype(int) - color).max() <= 5


def test_unspecified_matrix() -> None:
    """Without a matrix in the stream HD is taken for BT.709 and the rest for BT.601."""
    for width, height, matrix in ((64, 48, "ITU601"), (1280, 48, "ITU709")):
        pictures = solid((255, 0, 0), width_px=width, height_px=height)
        plain = {"x264-params": "colormatrix=undef:colorprim=undef:transfer=undef"}
        (frame,) = decode(encode(pictures, colorspace=matrix, options=plain))
        assert frame._frame.colorspace == 2
        assert np.abs(frame.to_rgb()[20, 20].astype(int) - (255, 0, 0)).max() <= 5


def gradient(width_px: int, height_px: int) -> NDArray[np.uint8]:
    """A picture whose colours say where one is."""
    return next(iter(moving_shapes(1, width_px=width_px, height_px=height_px)))


REGIONS = [
    WHOLE_PICTURE,
    Box(left=0.25, top=0.5, width=0.5, height=0.25),
    Box(left=0.31, top=0.17, width=0.43, height=0.61),
    Box(left=-0.2, top=-0.2, width=0.6, height=0.7),
    Box(left=0.8, top=0.8, width=0.9, height=0.9),
]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p"])
def test_same_pixels_as_the_array_picture(region: Box, pix_fmt: str) -> None:
    """A region at any size shows what the numpy picture shows."""
    picture = gradient(160, 120)
    (frame,) = decode(encode([picture], pix_fmt=pix_fmt, options={"crf": "1"}))
    views: tuple[Picture, Picture] = (frame, ArrayPicture(picture))
    for width, height in ((32, 24), (50, 70), (200, 200)):
        ours, expected = (
            v.rgb(region, width_px=width, height_px=height).astype(int) for v in views
        )
        assert ours.shape == expected.shape == (height, width, 3)
        assert np.abs(ours - expected).mean() < 6


@pytest.mark.parametrize("width", [2, 3, 16, 17, 33])
@pytest.mark.parametrize("target", [1, 2, 24, 64])
def test_small_and_odd_sizes(width: int, target: int) -> None:
    """Regions of few pixels and odd sizes work, and nothing lies outside the picture."""
    (frame,) = decode(encode(solid((200, 40, 90), width_px=64, height_px=48)))
    box = Box(left=31 / 64, top=11 / 48, width=width / 64, height=width / 48)
    rgb = frame.rgb(box, width_px=target, height_px=target)
    assert rgb.shape == (target, target, 3)
    assert rgb.flags.c_contiguous
    assert np.abs(rgb.astype(int) - (200, 40, 90)).max() <= 8
    with pytest.raises(ValueError, match="outside"):
        frame.rgb(Box(left=2, top=2, width=1, height=1), width_px=4, height_px=4)


def test_frame_outlives_the_decoder() -> None:
    """A frame can be read after the decoder was closed; closing twice is fine."""
    decoder = Decoder()
    (frame,) = run(decoder, events_of(encode(solid((9, 200, 9)))))
    decoder.close()
    decoder.close()
    assert frame.to_rgb().shape == (240, 320, 3)
    assert (frame.width_px, frame.height_px, frame.offset_seconds, frame.keyframe) == (
        320,
        240,
        0,
        True,
    )


def test_starting_in_mid_stream() -> None:
    """Packets before the first keyframe bring nothing."""
    events = events_of(encode(moving_shapes(20), gop=10))
    decoder = Decoder()
    list(decoder.drain())
    first = next(event for event in events if isinstance(event, Packet))
    # Not at a fragment's beginning: the decoder has seen the fragment already.
    decoder._fragment = first.fragment
    frames = run(decoder, events[3:])
    assert len(frames) == 10
    assert decoder.stats.skipped_packets == 7


def test_damaged_packet() -> None:
    """After a packet that cannot be decoded nothing is given out until the next keyframe."""
    decoder = Decoder()
    events = damage(events_of(encode(moving_shapes(30), gop=10)), 13, b"\xff" * 300)
    frames = run(decoder, events)
    assert len(frames) == 10 + 3 + 10
    assert (decoder.stats.damaged_packets, decoder.stats.skipped_packets) == (1, 6)
    assert len(decoder.completed_fragments()) == 3


def test_empty_packet() -> None:
    """An empty packet neither ends nor disturbs the decoder."""
    events = damage(events_of(encode(moving_shapes(12), gop=12)), 11, b"")
    assert len(run(Decoder(), events)) == 11


def test_corrupt_frames_are_dropped() -> None:
    """A frame the decoder marks as damaged is counted, and given out only on request."""
    video = encode(moving_shapes(10), gop=10, options={"crf": "1"})
    events = events_of(video)
    packets = [event for event in events if isinstance(event, Packet)]
    broken = bytearray(packets[4].data)
    broken[len(broken) // 2 : len(broken) // 2 + 60] = bytes(60)
    events = damage(events, 4, bytes(broken))
    strict, lenient = Decoder(), Decoder(keep_corrupt=True)
    dropped, kept = run(strict, events), run(lenient, events)
    assert strict.stats.corrupt_frames >= 1
    assert len(dropped) == 10 - strict.stats.corrupt_frames
    assert [frame.is_corrupt for frame in kept].count(True) == strict.stats.corrupt_frames


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_packets(data: st.DataObject, events_20: list[Event]) -> None:
    """Packets of any bytes raise nothing, and the next keyframe brings pictures again."""
    noise = data.draw(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
    decoder = Decoder()
    events = list(events_20)
    for index, junk in enumerate(noise):
        events = damage(events, 1 + index, junk)
    frames = run(decoder, events)
    last = [frame for frame in frames if frame.fragment is frames[-1].fragment]
    assert len(last) == 10
    assert len(decoder.completed_fragments()) == 2


@pytest.fixture(scope="module")
def events_20() -> list[Event]:
    """Two fragments of 10 frames."""
    return events_of(encode(moving_shapes(20, width_px=64, height_px=48), gop=10))


def test_new_codec_private() -> None:
    """Another CodecPrivate, or codec, flushes the frames before and goes on."""
    number = "1" * 47
    parts = [
        encode(moving_shapes(10), b_frames=3),
        encode(moving_shapes(10, width_px=160, height_px=96), b_frames=3),
        encode(moving_shapes(10, width_px=64, height_px=48), codec="hevc"),
    ]
    events = [
        event
        for index, video in enumerate(parts)
        for event in events_of(video, first_number=f"{int(number) + index}", start_ms=index * 1000)
    ]
    decoder = Decoder()
    frames = run(decoder, events)
    sizes = [
        (size, len(list(group))) for size, group in itertools.groupby(f.width_px for f in frames)
    ]
    assert sizes == [(320, 10), (160, 10), (64, 10)]
    assert len(decoder.completed_fragments()) == 3


def test_size_that_changes_in_band() -> None:
    """A size that changes inside the H.264 data is followed without a new header."""
    small, large = (
        to_annexb(encode(moving_shapes(5, width_px=w, height_px=w // 2))) for w in (128, 256)
    )
    first, *rest = large.packets
    packets = (
        *small.packets,
        EncodedPacket(pts_ms=200, keyframe=True, data=large.track.codec_private + first.data),
        *(replace(packet, pts_ms=packet.pts_ms + 200) for packet in rest),
    )
    frames = decode(Video(track=small.track, packets=packets))
    assert [frame.width_px for frame in frames] == [128] * 5 + [256] * 5


def vfw(track: Track) -> Track:
    """The track in Video-for-Windows form."""
    header = (40).to_bytes(4, "little") + bytes(12) + b"MJPG" + bytes(20)
    return replace(track, codec_id="V_MS/VFW/FOURCC", codec_private=header)


def aws_misprint(track: Track) -> Track:
    """The track with the CodecID as AWS's documentation misprints it."""
    return replace(track, codec_id="V_MPEG/ISO/AVC")


@pytest.mark.parametrize(("codec", "change"), [("mjpeg", vfw), ("h264", aws_misprint)])
def test_other_names_of_codecs(codec: str, change: Callable[[Track], Track]) -> None:
    """Codecs are known by their other names."""
    video = encode(moving_shapes(2), codec=codec)
    assert len(decode(replace(video, track=change(video.track)))) == 2


@pytest.mark.parametrize(
    ("codec_id", "private", "text"),
    [
        ("V_UNCOMPRESSED", b"", "'V_UNCOMPRESSED' is not supported"),
        ("V_MS/VFW/FOURCC", bytes(16) + b"WHAT" + bytes(20), "FOURCC b'WHAT'"),
        ("V_MS/VFW/FOURCC", b"", "FOURCC"),
    ],
)
def test_unsupported_codec(codec_id: str, private: bytes, text: str) -> None:
    """A codec nobody can decode is named; a later fragment with another one is decoded."""
    video = encode(moving_shapes(2), gop=1)
    decoder = Decoder()
    bad = replace(video, track=replace(video.track, codec_id=codec_id, codec_private=private))
    with pytest.raises(UnsupportedCodecError, match=text) as caught:
        run(decoder, events_of(bad))
    assert caught.value.codec_id == codec_id
    assert len(run(decoder, events_of(video))) == 2


@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
def test_pictures_that_are_too_large(codec: str) -> None:
    """Pictures above the limit are refused by their size."""
    video = encode(moving_shapes(2), codec=codec)
    with pytest.raises(PictureTooLargeError, match="320 x 240 pixels, 1000 pixels are the most"):
        run(Decoder(max_frame_pixels=1000), events_of(video))
    assert len(run(Decoder(max_frame_pixels=320 * 240), events_of(video))) == 2


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_rest_changes_no_picture(codec: str) -> None:
    """Who lets the memory go between two keyframes gets the same frames, at the same places."""
    events = events_of(encode(moving_shapes(40), codec=codec, gop=10))
    rests = Decoder()
    frames: list[DecodedFrame] = []
    for event in events:
        if isinstance(event, FragmentEnded):
            rests.end_fragment(event.fragment)
            continue
        if event.keyframe:
            frames += rests.flush()
            rests.rest()
        frames += rests.decode([event])
    frames += rests.drain()
    expected = run(Decoder(), events)
    assert [(f.fragment.number, f.offset_ns) for f in frames] == [
        (f.fragment.number, f.offset_ns) for f in expected
    ]
    for frame, other in zip(frames, expected, strict=True):
        assert np.array_equal(frame.to_rgb(), other.to_rgb())


# In a process of its own, whose memory is nobody else's.
RESTING = """
import itertools, os
from streamd.freed_memory import give_back
from streamd.ingest.decode import Decoder
from streamd.kvs.fragments import Packet
from tests.support.decoding import events_of
from tests.support.media import encode, moving_shapes

def resident_mb():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

events = events_of(encode(moving_shapes(12, width_px=1920, height_px=1080), gop=12))
packets = [event for event in events if isinstance(event, Packet)]
decoders = []
for rests in (False, True):
    give_back()  # or what encoding has freed would be used again
    before = resident_mb()
    for _ in range(8):
        decoder = Decoder()
        for _ in itertools.chain(decoder.decode(packets), decoder.flush()):
            pass
        if rests:
            decoder.rest()
        decoders.append(decoder)
    give_back()
    print((resident_mb() - before) / 8)
"""


def test_rest_frees_the_pictures() -> None:
    """Hundreds of idle cameras have no pictures: one of 1080p takes 3 MB."""
    done = subprocess.run(
        [sys.executable, "-c", RESTING],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    holding, resting = map(float, done.stdout.split())
    assert holding > 3.0
    assert resting < 1.5


def test_decoder_goes_on_after_drain() -> None:
    """After a drain the next fragment is decoded; a fragment cut off is not complete."""
    decoder = Decoder()
    events = events_of(encode(moving_shapes(20), gop=10, b_frames=2))
    cut = [event for event in events[:6] if isinstance(event, Packet)]
    frames = list(decoder.decode(cut)) + list(decoder.drain())
    assert len(frames) == 6
    assert decoder.completed_fragments() == []
    assert len(run(decoder, events)) == 20
    assert len(decoder.completed_fragments()) == 2


@needs_shared[0]
@needs_shared[1]
@pytest.mark.parametrize("name", ["kitten.mp4", "one_by_one_a.mp4", "people_walking.mp4"])
def test_real_video(name: str) -> None:
    """Every packet of a real clip becomes a frame at its time, and every fragment completes."""
    video = demux(MEDIA / "video" / name)
    decoder = Decoder()
    times = [
        frame.fragment.producer_timestamp_ms * 1_000_000 + frame.offset_ns
        for frame in run(decoder, events_of(video, start_ms=1000))
    ]
    assert times == sorted((1000 + packet.pts_ms) * 1_000_000 for packet in video.packets)
    assert decoder.stats.damaged_packets == decoder.stats.corrupt_frames == 0
    assert len(decoder.completed_fragments()) == len(video.fragments())
