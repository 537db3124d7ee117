"""What a reader gives out: frames at the rate asked for, fragments read and done, in order."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.config import AnalysisSettings
from streamd.kvs.fragments import FragmentReader
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
from tests.support.media import encode, get_media_body, moving_shapes

END = Arrival(event=ReadEnded(fragments=1), epoch_ms=0)


def _arrivals(body: bytes) -> list[Arrival]:
    return [Arrival(event=event, epoch_ms=7) for event in FragmentReader().feed(body)]


def _reader(fps: float = 5.0) -> FrameReader:
    return FrameReader(settings=AnalysisSettings(fps=fps), on_damage=lambda _: None)


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
    assert reader.take_counts() == {"frames": 5, "damaged": 0}
    assert reader.take_counts() == {"frames": 0, "damaged": 0}


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
    assert reader.take_counts() == {"frames": 5, "damaged": 0}
