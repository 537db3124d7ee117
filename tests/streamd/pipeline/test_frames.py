"""What a reader gives out: frames at the rate asked for, fragments read and done, in order."""

from __future__ import annotations

from collections.abc import Sequence

from processors.geometry import Box
from processors.roi import Regions
from streamd.config import AnalysisSettings
from streamd.kvs.fragments import FragmentEnded, FragmentReader, Packet
from streamd.pipeline.frames import (
    Arrival,
    FragmentDone,
    FragmentRead,
    Frame,
    FrameReader,
    Output,
    Place,
)
from streamd.pipeline.pace import FULL_PACE, Pace
from streamd.pipeline.source import ReadEnded
from tests.support.feed import fragments_of
from tests.support.media import START_MS, Video, encode, get_media_body, moving_shapes
from tests.support.still import still_video

END = Arrival(event=ReadEnded(fragments=1), epoch_ms=0)


def _arrivals(body: bytes) -> list[Arrival]:
    return [Arrival(event=event, epoch_ms=7) for event in FragmentReader().feed(body)]


def _reader(fps: float = 5.0) -> FrameReader:
    return FrameReader(settings=AnalysisSettings(fps=fps), on_damage=lambda *_: None)


def _kinds(outputs: Sequence[Output]) -> list[str]:
    return [type(output).__name__ for output in outputs]


def test_fragment_is_read_and_done_behind_its_frames() -> None:
    """Half a second at 10 fps, 5 analysed a second: three frames, then the two marks."""
    outputs = list(_reader().read(_arrivals(fragments_of(1)[0])))
    assert _kinds(outputs) == ["Frame"] * 3 + ["FragmentRead", "FragmentDone"]
    assert isinstance(outputs[3], FragmentRead)
    assert outputs[3].length_ms == 500


def test_frame_knows_when_it_arrived() -> None:
    """Latency is reckoned from the arrival of the frame's bytes."""
    first = next(iter(_reader().read(_arrivals(fragments_of(1)[0]))))
    assert isinstance(first, Frame)
    assert first.arrived_ms == 7


def test_place_rises_with_what_is_given_out() -> None:
    """Before a frame, at it, and behind the whole fragment."""
    reader = _reader()
    assert reader.place == Place()
    arrivals = _arrivals(fragments_of(1)[0])
    list(reader.read(arrivals[:-1]))
    inside = reader.place
    list(reader.read(arrivals[-1:]))
    assert Place() < inside < reader.place
    assert (inside.is_whole, reader.place.is_whole) == (False, True)


def test_place_is_not_taken_back_by_a_fragment_read_again() -> None:
    """A cut-off fragment comes again from its start; what was given out stays given out."""
    reader = _reader()
    arrivals = _arrivals(fragments_of(1)[0])
    list(reader.read(arrivals[:-1]))
    before = reader.place
    list(reader.read(arrivals[:2]))
    assert reader.place == before


def test_end_between_fragments_brings_out_what_the_decoder_holds() -> None:
    """With B-frames the last pictures come out when the answer ends, not with the next one."""
    video = encode(moving_shapes(30), fps=30, gop=30, b_frames=3)
    reader = _reader(30)
    outputs = list(reader.read(_arrivals(get_media_body(video))))
    assert "FragmentDone" not in _kinds(outputs)
    rest = list(reader.read([END]))
    assert isinstance(rest[-1], FragmentDone)
    assert len([o for o in outputs + rest if isinstance(o, Frame)]) == 30


def test_end_inside_a_fragment_keeps_the_decoder_as_it_is() -> None:
    """The fragment is read again from its start; nothing is done yet."""
    reader = _reader()
    arrivals = _arrivals(fragments_of(1)[0])
    outputs = list(reader.read([*arrivals[:4], END]))
    assert "FragmentDone" not in _kinds(outputs)
    assert _kinds(list(reader.read(arrivals)))[-1] == "FragmentDone"


def test_counts_are_since_the_last_look() -> None:
    """Frames decoded are told once."""
    reader = _reader()
    list(reader.read(_arrivals(fragments_of(1)[0])))
    assert reader.take_counts() == {
        "frames": 5,
        "damaged": 0,
        "skipped": 0,
        "audits": 0,
        "missed_motion": 0,
    }
    assert reader.take_counts() == dict.fromkeys(
        ("frames", "damaged", "skipped", "audits", "missed_motion"), 0
    )


def test_keyframes_only_decodes_one_frame_a_group() -> None:
    """Overloaded below every rate: other pictures are not even decoded, until the next keyframe."""
    reader = _reader(10)
    reader.go(Pace(share=0.2, keyframes_only=True))
    fragments = fragments_of(4)
    for fragment in fragments[:2]:
        list(reader.read(_arrivals(fragment)))
    assert reader.take_counts()["frames"] == 2
    arrivals = _arrivals(fragments[2])
    list(reader.read(arrivals[:3]))
    reader.go(FULL_PACE)
    list(reader.read(arrivals[3:]))
    assert reader.take_counts()["frames"] == 1
    list(reader.read(_arrivals(fragments[3])))
    assert reader.take_counts() == {
        "frames": 5,
        "damaged": 0,
        "skipped": 0,
        "audits": 0,
        "missed_motion": 0,
    }


def _analyzed(reader: FrameReader, video: Video) -> list[float]:
    arrivals = _arrivals(get_media_body(video))
    outputs = [*reader.read(arrivals), *reader.drain()]
    frames = [output.position for output in outputs if isinstance(output, Frame)]
    return [
        round((at.producer_timestamp_ms - START_MS) / 1000 + at.frame_offset_ns / 1e9, 3)
        for at in frames
    ]


def test_quiet_stream_is_analysed_at_its_keyframes() -> None:
    """Behind the gate; with what was learnt a second reader need not learn it again."""
    reader, video = _reader(), still_video(24)
    assert _analyzed(reader, video)[70:] == [14.0, 16.0, 18.0, 20.0] + [
        round(22 + i / 5, 3) for i in range(10)
    ]
    assert reader.take_counts()["skipped"] == 4 * 19
    settings = AnalysisSettings(fps=5.0)
    second = FrameReader(settings=settings, on_damage=lambda *_: None, profile=reader.profile)
    again = [at for at in _analyzed(second, video) if 8 <= at < 16]
    assert again == [8.0, 10.0, 12.0, 14.0]


def test_quiet_packets_are_passed_over_up_to_the_next_keyframe() -> None:
    """The rest of a batch begins with the first thing that is more than a packet to keep."""
    reader, arrivals = _reader(), _arrivals(get_media_body(still_video(24)))
    assert reader.pass_over(arrivals) == arrivals
    keys = [
        index
        for index, arrival in enumerate(arrivals)
        if isinstance(arrival.event, Packet) and arrival.event.keyframe
    ]
    list(reader.read(arrivals[: keys[-2] + 1]))
    rest = reader.pass_over(arrivals[keys[-2] + 1 :])
    assert isinstance(rest[0].event, FragmentEnded)
    assert arrivals.index(rest[0]) == keys[-1] - 2  # the end, the next beginning, its keyframe
    assert not reader.is_woken
    read = [output for output in reader.read(rest) if isinstance(output, FragmentRead)]
    assert read[0].length_ms == 2000  # what was passed over counts


def test_packets_that_wake_the_gate_are_decoded_without_another() -> None:
    """A visitor between two keyframes: all since the keyframe comes out of an empty batch."""
    reader = _reader()
    arrivals = _arrivals(get_media_body(still_video(36, [(25.3, 27.0)])))
    woken: list[Output] = []
    for arrival in arrivals:
        if reader.pass_over([arrival]):
            list(reader.read([arrival]))
        elif reader.is_woken:
            woken += reader.read([])
    assert not reader.is_woken
    frames = [output for output in woken if isinstance(output, Frame)]
    assert frames
    assert frames[0].position.producer_timestamp_ms == START_MS + 24_000


def test_gate_may_be_switched_off() -> None:
    """Then everything is decoded."""
    reader = FrameReader(settings=AnalysisSettings(gate="none"), on_damage=lambda *_: None)
    assert len(_analyzed(reader, still_video(24))) == 120
    assert reader.take_counts() == {"frames": 240, "damaged": 0, "skipped": 0}
    assert reader.profile is None
    assert not reader.is_quiet


def test_find_in_a_keyframe_wakes_the_gate() -> None:
    """What the sessions find keeps the stream awake; moving regions are learnt anew."""
    reader = _reader()
    _analyzed(reader, still_video(24))
    profile = reader.profile
    assert profile is not None
    again = FrameReader(
        settings=AnalysisSettings(fps=5.0), on_damage=lambda *_: None, profile=profile
    )
    for arrival in _arrivals(get_media_body(still_video(10))):
        for output in again.read([arrival]):
            if isinstance(output, Frame) and again.is_quiet:
                again.note_detection()
    assert again.take_counts()["wake detection"] == 1
    again.watch(Regions([Box(left=0, top=0, width=0.5, height=0.5)]))
    assert again.profile is None
