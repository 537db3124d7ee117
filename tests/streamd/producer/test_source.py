"""Sources of every form give the same kind of packets."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from streamd.producer.errors import SourceError
from streamd.producer.media import MediaUnit
from streamd.producer.source import PyavSource, SourceOptions
from tests.support.media import encode, moving_shapes
from tests.support.rtsp_camera import rtsp_camera
from tests.support.video_files import write_video


def read(path: Path, **options: object) -> list[MediaUnit]:
    source = PyavSource(str(path), SourceOptions(**options))  # type: ignore[arg-type]  # of a test
    try:
        return list(_units(source))
    finally:
        source.close()


def _units(source: PyavSource) -> Iterator[MediaUnit]:
    while units := source.read():
        yield from units


def decoded(units: list[MediaUnit]) -> list[int]:
    """Decode with CodecPrivate alone; return the times of frames in the order of display."""
    track = units[0].tracks[0]
    codec = "h264" if "AVC" in track.codec_id else "hevc"
    decoder = cast(VideoCodecContext, av.CodecContext.create(codec, "r"))
    decoder.extradata = track.codec_private
    times: list[int] = []
    for unit in units:
        packet: Any = av.Packet(unit.data)
        packet.pts = unit.pts_ns // 1_000_000
        times += [frame.pts for frame in decoder.decode(packet) if frame.pts is not None]
    return times + [frame.pts for frame in decoder.decode(None) if frame.pts is not None]


FORMS = [
    ("clip.mp4", "libx264", None),
    ("clip.mkv", "libx264", None),
    ("clip.ts", "libx264", None),
    ("clip.264", "libx264", "h264"),
    ("clip-5.mp4", "libx265", None),
    ("clip.265", "libx265", "hevc"),
]


@pytest.mark.parametrize("b_frames", [0, 2], ids=["no B-frames", "B-frames"])
@pytest.mark.parametrize(("name", "encoder", "form"), FORMS, ids=[form[0] for form in FORMS])
def test_every_form_decodes_in_order(
    tmp_path: Path, name: str, encoder: str, form: str | None, b_frames: int
) -> None:
    """Length prefixes, a decoder record, and display times that rise by one frame."""
    path = write_video(
        tmp_path / name, encoder=encoder, container_format=form, b_frames=b_frames, fps=20
    )
    units = read(path)
    record = units[0].tracks[0].codec_private
    assert record[0] == 1
    assert units[0].is_keyframe
    assert (units[0].tracks[0].width_px, units[0].tracks[0].height_px) == (160, 120)
    times = decoded(units)
    assert len(times) == 40
    assert [b - a for a, b in itertools.pairwise(times)] == [50] * 39
    decoding = [unit.dts_ns for unit in units]
    assert decoding == sorted(decoding)


def test_a_length_that_looks_like_a_start_code(tmp_path: Path) -> None:
    """Units of 256 to 511 bytes begin with 00 00 01 in MP4, and are still not start codes."""
    path = write_video(tmp_path / "clip.mp4", count=60, gop=60, width_px=320, height_px=240)
    units = read(path)
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    assert [unit.data for unit in units] == packets
    assert any(packet.startswith(b"\x00\x00\x01") for packet in packets)


def test_frame_rate_of_raw_files(tmp_path: Path) -> None:
    """A file without times gets them from the frame rate the user names."""
    path = write_video(tmp_path / "clip.264", container_format="h264", count=10)
    units = read(path, frame_rate=10.0)
    assert [unit.pts_ns // 1_000_000 for unit in units] == list(range(0, 1000, 100))


def test_raw_files_are_noted(tmp_path: Path) -> None:
    """The user is told that times are made up."""
    path = write_video(tmp_path / "clip.264", container_format="h264", count=5)
    source = PyavSource(str(path))
    assert any("no timestamps" in note for note in source.notes)
    source.close()


def test_other_codecs_are_encoded(tmp_path: Path) -> None:
    """MJPEG becomes H.264 with a keyframe every two seconds and no frame lost."""
    path = write_video(tmp_path / "clip.avi", encoder="mjpeg", count=50, fps=10)
    units = read(path)
    keyframes = [unit.pts_ns // 1_000_000 for unit in units if unit.is_keyframe]
    assert keyframes == [0, 2000, 4000]
    assert len(decoded(units)) == 50


def test_transcoding_shortens_long_gops(tmp_path: Path) -> None:
    """--transcode gives keyframes every two seconds to a file that has one."""
    path = write_video(tmp_path / "clip.mp4", count=100, gop=100, fps=20)
    keyframes = [
        unit.pts_ns // 1_000_000 for unit in read(path, transcode=True) if unit.is_keyframe
    ]
    assert keyframes == [0, 2000, 4000]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
def test_sound_is_sent_when_asked_for(tmp_path: Path, name: str) -> None:
    """AAC goes into track 2, without ADTS headers; otherwise it is left out."""
    path = write_video(tmp_path / name, with_audio=True)
    with_sound = read(path, audio=True)
    assert {unit.track_number for unit in with_sound} == {1, 2}
    track = with_sound[0].tracks[1]
    assert (track.codec_id, track.sampling_hz, track.channels) == ("A_AAC", 8000, 1)
    assert track.codec_private[:2] == b"\x15\x88"
    assert not any(u.data.startswith(b"\xff\xf1") for u in with_sound if u.track_number == 2)
    assert {unit.track_number for unit in read(path)} == {1}


def test_a_new_resolution_brings_new_tracks(tmp_path: Path) -> None:
    """A byte stream whose parameter sets change gives packets with other tracks from there on."""
    small = write_video(tmp_path / "a.264", container_format="h264", count=10)
    large = write_video(
        tmp_path / "b.264", container_format="h264", count=10, width_px=320, height_px=240
    )
    both = tmp_path / "c.264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    widths = [unit.tracks[0].width_px for unit in read(both)]
    assert widths == [160] * 10 + [320] * 10


def test_a_cut_file_gives_what_it_has(tmp_path: Path) -> None:
    """A transport stream that ends in the middle of a packet is read up to there."""
    whole = write_video(tmp_path / "clip.ts", count=60, gop=10)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 10 < len(read(cut)) < 60


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "this is not a video"), (b"\x00" * 5000, "this is not a video")],
    ids=["empty", "zeros"],
)
def test_files_that_are_no_video(tmp_path: Path, content: bytes, message: str) -> None:
    """Anything else is one error that names the file."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        PyavSource(str(path))


def test_sound_alone_is_no_source(tmp_path: Path) -> None:
    """A file without video says so."""
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts = 8000, 0
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="has no video track"):
        PyavSource(str(path))


@pytest.mark.parametrize("ahead", [-2.0, -3600.0], ids=["two seconds", "an hour"])
def test_an_rtsp_camera_tells_its_time(ahead: float) -> None:
    """Its sender reports give each frame's time, right or wrong."""
    with rtsp_camera(encode(moving_shapes(20), fps=10, gop=10)) as camera:
        camera.clock_ahead_seconds = ahead
        source = PyavSource(camera.url)
        try:
            units = list(itertools.islice(_units(source), 20))
        finally:
            source.close()
        now_ns = time.time_ns()
    taken = [unit.taken_ns for unit in units if unit.taken_ns is not None]
    assert len(taken) >= 15
    steps = {(after - before) // 1_000_000 for before, after in itertools.pairwise(taken[5:])}
    assert steps <= {99, 100}
    assert abs((taken[-1] - now_ns) / 1e9 - ahead) < 20


def test_a_camera_without_reports_tells_no_time() -> None:
    """Nothing is made up."""
    with rtsp_camera(encode(moving_shapes(20), fps=10, gop=10)) as camera:
        source = PyavSource(camera.url)
        try:
            units = list(itertools.islice(_units(source), 5))
        finally:
            source.close()
    assert {unit.taken_ns for unit in units} == {None}


def test_silence_is_a_frame_of_the_same_sound(tmp_path: Path) -> None:
    """A decoder set up for the source's sound decodes it, and hears nothing."""
    path = write_video(tmp_path / "clip.mp4", with_audio=True)
    source = PyavSource(str(path), SourceOptions(audio=True))
    track = source.read()[0].tracks[1]
    source.close()
    assert source.silence
    decoder: Any = av.CodecContext.create("aac", "r")
    decoder.extradata = track.codec_private
    frames = decoder.decode(av.Packet(source.silence)) + decoder.decode(None)
    assert frames
    assert not any(frame.to_ndarray().any() for frame in frames)


def test_no_sound_needs_no_silence(tmp_path: Path) -> None:
    """Where the sound is left out, nothing stands for it."""
    source = PyavSource(str(write_video(tmp_path / "clip.mp4", with_audio=True)))
    source.close()
    assert source.silence is None
