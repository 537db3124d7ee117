"""Video tracks in Kinesis Video's form, from packets of any form."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from streamd.producer import bitstream
from streamd.producer.tracks import CODEC_IDS, VideoTrack, decoder_record
from tests.support.media import encode, moving_shapes
from tests.support.video_files import write_video

SUFFIXES = {"h264": ".264", "hevc": ".265"}
ENCODERS = {"h264": "libx264", "hevc": "libx265"}


def packets(folder: Path, codec: str = "h264", *, width_px: int = 160) -> list[bytes]:
    """The packets of a raw file, with start codes and parameter sets among them."""
    path = folder / f"{width_px}{SUFFIXES[codec]}"
    write_video(path, encoder=ENCODERS[codec], count=6, gop=3, width_px=width_px)
    with av.open(str(path), "r", format=codec) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("codec", sorted(CODEC_IDS))
def test_start_codes_become_lengths_and_a_codec_private(tmp_path: Path, codec: str) -> None:
    """The first packet's parameter sets are the track's; its size is the picture's."""
    track = VideoTrack(codec, b"", width_px=0, height_px=0)
    assert track.track is None
    data = track.convert(packets(tmp_path, codec)[0])
    assert not bitstream.is_annexb(data)
    found = track.track
    assert found is not None
    assert found.codec_id == CODEC_IDS[codec]
    assert (found.width_px, found.height_px) == (160, 120)
    assert found.codec_private
    assert found.codec_private[0] == 1, "configurationVersion of avcC and hvcC"


def test_packets_with_lengths_pass() -> None:
    """The record that came with them stays the track's."""
    given = encode(moving_shapes(6, width_px=160, height_px=120), fps=10, gop=3)
    track = VideoTrack("h264", given.track.codec_private, width_px=160, height_px=120)
    assert track.track is not None
    assert track.track.codec_private == given.track.codec_private
    assert [track.convert(packet.data) for packet in given.packets] == [
        packet.data for packet in given.packets
    ]


def test_a_track_changes_with_its_parameter_sets_alone(tmp_path: Path) -> None:
    """Repeated ones change nothing; those of another camera make another track."""
    track = VideoTrack("h264", b"", width_px=0, height_px=0)
    given = packets(tmp_path)
    track.convert(given[0])
    before = track.track
    assert before is not None
    for packet in given * 2:
        track.convert(packet)
    assert track.track is before
    track.convert(packets(tmp_path, width_px=320)[0])
    assert track.track is not None
    assert (track.track.width_px, track.track.height_px) == (320, 120)


def test_parameter_sets_may_come_before_the_first_packet(tmp_path: Path) -> None:
    """A source that tells them apart, and a packet that has none, make a track together."""
    units = bitstream.split_annexb(packets(tmp_path)[0])
    sets = bitstream.parameter_sets("h264", units)
    pictures = [unit for unit in units if unit not in sets]
    track = VideoTrack("h264", _annexb(sets), width_px=0, height_px=0)
    track.convert(_annexb(pictures))
    assert track.track is not None
    assert track.track.width_px == 160


def _annexb(units: list[bytes]) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


@pytest.mark.parametrize("units", [[], [b"\x09\x10"], [b"\x67\x00"]], ids=["none", "aud", "cut"])
def test_units_that_tell_nothing_give_no_record(units: list[bytes]) -> None:
    """The next packets may."""
    assert decoder_record("h264", units) is None
