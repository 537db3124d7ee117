"""Behind the gate nothing that moves is lost, nothing comes out of order, fragments complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.geometry import Box
from processors.roi import Regions
from streamd.gate.calibration import GateProfile
from streamd.gate.decoder import GatedDecoder
from streamd.gate.states import State, Wake
from streamd.ingest.decode import DecodedFrame, Decoder
from streamd.ingest.errors import UnsupportedCodecError
from streamd.kvs.fragments import FragmentEnded, Packet
from tests.support.decoding import Event, events_of
from tests.support.media import START_MS, Video
from tests.support.still import FPS, still_video

QUIET_FROM = 20
"""Seconds after which a still stream is quiet: 12 to learn, to the next keyframe, and some."""


@dataclass
class Seen:
    """What came out of a decoder."""

    times: list[float] = field(default_factory=list)
    """Of the frames, in seconds from the first."""
    done: list[str] = field(default_factory=list)


def run(
    decoder: GatedDecoder | Decoder,
    events: Sequence[Event],
    *,
    drain: bool = True,
    finds: Callable[[float], bool] = lambda _: False,
    seen: Seen | None = None,
    passes: bool = False,
) -> Seen:
    """Give a decoder the events; no frame may come after its fragment was done.

    With ``passes`` what may be passed over is, and what is woken decoded without a packet.
    """
    seen = seen or Seen()

    def take(frames: Any) -> None:
        frame: DecodedFrame
        for frame in frames:
            assert frame.fragment.number not in seen.done, "a frame behind the end of its fragment"
            at = (frame.fragment.producer_timestamp_ms - START_MS) / 1000 + frame.offset_seconds
            seen.times.append(round(at, 3))
            if finds(at) and isinstance(decoder, GatedDecoder):
                decoder.note_detection()

    for event in events:
        if isinstance(event, Packet):
            is_taken = passes and isinstance(decoder, GatedDecoder) and decoder.pass_over(event)
            if not is_taken:
                take(decoder.decode([event]))
            elif isinstance(decoder, GatedDecoder) and decoder.is_woken:
                take(decoder.decode([]))
        else:
            decoder.end_fragment(event.fragment)
        seen.done += [fragment.number for fragment in decoder.completed_fragments()]
    if drain:
        take(decoder.drain())
        seen.done += [fragment.number for fragment in decoder.completed_fragments()]
    return seen


def between(seen: Seen, begin: float, end: float) -> list[float]:
    return [at for at in seen.times if begin <= at < end]


def every(begin: float, end: float) -> list[float]:
    return [round(i / FPS, 3) for i in range(round(begin * FPS), round(end * FPS))]


@cache
def still() -> Video:
    """Nothing happens."""
    return still_video(36)


@cache
def visited() -> Video:
    """Somebody crosses from 25.3 s on, behind a keyframe at 24 s."""
    return still_video(36, [(25.3, 27.0)])


@cache
def learnt() -> GateProfile:
    """What a gate learns of the still scene."""
    decoder = GatedDecoder()
    run(decoder, events_of(still()), drain=False)
    assert decoder.profile is not None
    return decoder.profile


@cache
def deaf(b_frames: int = 0) -> GateProfile:
    """The same, but no packet is ever dear."""
    decoder = GatedDecoder()
    run(decoder, events_of(still_video(16, b_frames=b_frames)), drain=False)
    assert decoder.profile is not None
    return replace(decoder.profile, limits=(9.0, 9.0, 9.0))


def long_group() -> Video:
    """The camera stops to send keyframes."""
    first, second = still_video(24), still_video(30, gop=10_000)
    packets = [*first.packets]
    packets += [replace(p, pts_ms=p.pts_ms + 24_000) for p in second.packets]
    return Video(track=first.track, packets=tuple(packets))


def test_still_stream_is_decoded_at_its_keyframes() -> None:
    """After it was learnt, one frame in two seconds is given out, and the rest is not decoded."""
    decoder = GatedDecoder()
    seen = run(decoder, events_of(still()), drain=False)
    assert decoder.gate.state is State.QUIET
    assert between(seen, 0, 12) == every(0, 12)
    assert between(seen, QUIET_FROM, 36) == [20, 22, 24, 26, 28, 30, 32, 34]
    assert decoder.gate.skipped >= 6 * 19
    assert decoder.gate.missed_motion == 0


def test_fragments_of_a_quiet_stream_complete_one_group_late() -> None:
    """Each fragment is done when the next keyframe was judged, in order."""
    decoder = GatedDecoder(profile=learnt())
    events = events_of(still())
    numbers = [event.fragment.number for event in events if isinstance(event, FragmentEnded)]
    seen = run(decoder, events, drain=False)
    assert decoder.gate.state is State.QUIET
    assert seen.done == numbers[:-1]


def test_what_is_kept_comes_out_at_the_end() -> None:
    """A session that ends gets the last group in full, and its fragment done."""
    events = events_of(still())
    seen = run(GatedDecoder(profile=learnt()), events)
    assert between(seen, 34, 36) == every(34, 36)
    assert seen.done == [e.fragment.number for e in events if isinstance(e, FragmentEnded)]
    assert seen.times == sorted(set(seen.times))


@pytest.mark.parametrize(
    "how",
    [{}, {"b_frames": 2}, {"annexb": True}, {"codec": "hevc"}],
    ids=lambda how: "-".join(map(str, how)) or "h264",
)
def test_motion_behind_a_keyframe_is_seen_from_the_keyframe_on(how: dict[str, Any]) -> None:
    """Packets wake the gate; all frames since the keyframe come out, in order, once."""
    decoder = GatedDecoder()
    seen = run(decoder, events_of(still_video(36, [(25.3, 27.0)], **how)))
    assert between(seen, QUIET_FROM, 24) == [20, 22]
    assert between(seen, 24, 28) == every(24, 28)
    assert seen.times == sorted(set(seen.times))
    assert decoder.gate.wakes[Wake.PACKETS] == 1


@pytest.mark.parametrize("b_frames", [0, 2])
def test_motion_that_a_keyframe_shows_is_seen_from_its_group_on(b_frames: int) -> None:
    """Where packets say nothing the keyframe does: the group before it comes out first."""
    decoder = GatedDecoder(profile=deaf(b_frames))
    seen = run(decoder, events_of(still_video(36, [(25.3, 27.0)], b_frames=b_frames)))
    assert between(seen, 22, 24) == [22]
    assert between(seen, 24, 28) == every(24, 28)
    assert seen.times == sorted(set(seen.times))
    assert decoder.gate.wakes[Wake.SCENE] == 1


@pytest.mark.parametrize(
    "make",
    [still, visited, lambda: still_video(36, [(25.3, 27.0)], b_frames=2), long_group],
    ids=["still", "visited", "b-frames", "long group"],
)
def test_passing_over_changes_nothing(make: Callable[[], Video]) -> None:
    """What is passed over before decoding is judged as what is decoded."""
    events = events_of(make())
    one, other = GatedDecoder(), GatedDecoder()
    assert run(one, events, passes=True) == run(other, events)
    assert one.gate == other.gate


def test_only_what_lies_between_keyframes_of_a_quiet_stream_is_passed_over() -> None:
    """Nothing while it is learnt, no keyframe, nothing damaged, nothing of another codec."""
    decoder = GatedDecoder()
    packets = [event for event in events_of(still()) if isinstance(event, Packet)]
    assert not decoder.pass_over(packets[1])
    run(decoder, events_of(still()), drain=False)
    assert decoder.pass_over(packets[-1])
    assert not decoder.is_woken
    assert not decoder.pass_over(packets[-20])
    assert packets[-20].keyframe
    assert not decoder.pass_over(replace(packets[-1], data=b"\x00\x00\x00\x02\xff\xfe"))
    track = replace(still().track, codec_private=b"")
    other = replace(packets[-1].fragment, video=track)
    assert not decoder.pass_over(replace(packets[-1], fragment=other))


def test_it_falls_quiet_again() -> None:
    """Some seconds after the last motion keyframes are enough again."""
    decoder = GatedDecoder(profile=learnt())
    seen = run(decoder, events_of(still_video(38, [(25.3, 27.0)])), drain=False)
    assert between(seen, 27, 30) == every(27, 30)
    assert between(seen, 34, 38) == [34, 36]
    assert decoder.gate.state is State.QUIET


def test_a_find_keeps_it_awake() -> None:
    """While the analysis finds something everything is decoded, moving or not."""
    decoder = GatedDecoder(profile=learnt())
    seen = run(decoder, events_of(still()), finds=lambda at: 10 <= at < 20)
    assert between(seen, 8, 10) == [8]
    # The next keyframe that may be quiet is at 24 s: 3 s after the last find have passed.
    assert between(seen, 10, 24) == every(10, 24)
    assert between(seen, 24, 34) == [24, 26, 28, 30, 32]
    assert decoder.gate.wakes[Wake.DETECTION] == 1


def test_motion_outside_the_regions_alone_does_not_matter() -> None:
    """Keyframes are compared inside the regions of interest only."""
    video, lower = still_video(36, [(25.3, 27.0)]), Box(left=0, top=0.9, width=1, height=0.1)
    regions = Regions([lower])
    profile = replace(deaf(), regions=regions.shapes)
    decoder = GatedDecoder(profile=profile, regions=regions)
    seen = run(decoder, events_of(video), drain=False)
    assert between(seen, 22, 30) == [22, 24, 26, 28]


def test_audit_finds_what_was_slept_through() -> None:
    """Motion between two keyframes that packets do not tell: counted, given out, and learnt anew."""
    # Quiet from 4 s on; the fourth quiet group, which is audited first, begins at 10 s.
    decoder = GatedDecoder(profile=deaf())
    seen = run(decoder, events_of(still_video(16, [(10.4, 11.5)])))
    assert between(seen, 6, 10) == [6, 8]
    assert between(seen, 10, 12) == every(10, 12)
    assert decoder.gate.missed_motion == 1
    assert decoder.gate.wakes[Wake.AUDIT] == 1
    assert decoder.gate.state is State.CALIBRATING


def hevc_open_groups() -> Video:
    params = "log-level=none:pools=none:keyint=20:min-keyint=20:scenecut=0:bframes=2:open-gop=1"
    return still_video(30, codec="hevc", options={"x265-params": params})


@pytest.mark.parametrize(
    "make",
    [
        lambda: still_video(30, codec="mjpeg"),
        hevc_open_groups,
        lambda: still_video(30, options={"x264-params": "interlaced=1:keyint=20:scenecut=0"}),
        lambda: still_video(30, gop=10_000),
        lambda: still_video(50, gop=150),
        lambda: still_video(80, [(t, t + 1.0) for t in range(0, 80, 2)]),
    ],
    ids=["mjpeg", "open-groups", "interlaced", "infinite", "15s-groups", "always-moving"],
)
def test_it_stays_open_where_it_cannot_tell(make: Callable[[], Video]) -> None:
    """What is not understood, too long or never still is decoded in full."""
    events = events_of(make())
    decoder = GatedDecoder()
    seen = run(decoder, events)
    assert seen == run(Decoder(), events)
    assert decoder.gate.skipped == 0


@pytest.mark.parametrize("place", [0, 1, 7])
def test_damage_in_the_quiet_opens_it(place: int) -> None:
    """From a damaged packet on, all comes out that a plain decoder gives out."""
    events = events_of(still())
    group = [event for event in events if isinstance(event, Packet)][240:260]
    damaged = replace(group[place], data=b"\x00\x00\x00\x05\xff\xfe\xfd\xfc\xfb")
    events = [damaged if event is group[place] else event for event in events]
    decoder, plain = GatedDecoder(profile=learnt()), run(Decoder(), events)
    seen = run(decoder, events)
    assert between(seen, 16, 22) == [16, 18, 20] if place else [16, 18, 20]
    assert between(seen, 24, 36) == between(plain, 24, 36)
    assert seen.done == plain.done


def test_group_that_is_too_long_opens_it() -> None:
    """A camera that stops to send keyframes: what was kept comes out, then everything."""
    decoder = GatedDecoder(profile=deaf())
    seen = run(decoder, events_of(long_group()))
    assert decoder.gate.state is State.OPEN
    assert between(seen, 24, 54) == every(24, 54)
    assert seen.times == sorted(set(seen.times))


def test_other_codec_settings_begin_anew() -> None:
    """What was kept comes out; what was learnt does not hold for another stream."""
    decoder = GatedDecoder(profile=learnt())
    seen = run(decoder, events_of(still()), drain=False)
    assert decoder.gate.skipped > 0
    other = events_of(still_video(4, codec="hevc"), start_ms=START_MS + 36_000)
    run(decoder, other, seen=seen)
    assert decoder.gate.state is State.CALIBRATING
    assert between(seen, 34, 40) == every(34, 40)
    assert seen.times == sorted(set(seen.times))


def test_codec_without_a_decoder() -> None:
    """The error of the decoder comes through; fragments before it are done, and it goes on."""
    decoder = GatedDecoder(profile=learnt())
    seen = run(decoder, events_of(still()), drain=False)
    bad = still_video(2)
    bad = replace(bad, track=replace(bad.track, codec_id="V_UNCOMPRESSED"))
    with pytest.raises(UnsupportedCodecError):
        run(decoder, events_of(bad, start_ms=START_MS + 36_000), seen=seen)
    run(decoder, events_of(still_video(4), start_ms=START_MS + 38_000), seen=seen)
    assert between(seen, 38, 42) == every(38, 42)


def test_profile_that_does_not_fit_is_not_used() -> None:
    """Learnt with other settings or regions, it has to be learnt anew."""
    regions = Regions([Box(left=0, top=0, width=0.5, height=0.5)])
    decoder = GatedDecoder(profile=learnt(), regions=regions)
    run(decoder, events_of(still_video(4)), drain=False)
    assert decoder.gate.state is State.CALIBRATING


def test_gap_and_fragment_read_again() -> None:
    """After a gap, or a fragment cut off and read again, nothing is given out twice by itself."""
    events = events_of(still())
    packets = [event for event in events if isinstance(event, Packet)]
    decoder = GatedDecoder(profile=learnt())
    before = [e for e in events if e.fragment.producer_timestamp_ms < packets[240].fragment.producer_timestamp_ms]  # fmt: skip
    cut = packets[240:250]
    again = [e for e in events if e.fragment.producer_timestamp_ms >= cut[0].fragment.producer_timestamp_ms]  # fmt: skip
    info = replace(cut[0].fragment)
    seen = run(decoder, [*before, *(replace(p, fragment=info) for p in cut), *again])
    assert between(seen, 22, 34) == [22, 24, 24, 26, 28, 30, 32]
    numbers = [event.fragment.number for event in events if isinstance(event, FragmentEnded)]
    assert seen.done == numbers


def test_closed_twice() -> None:
    """Closing lets go of what was kept."""
    decoder = GatedDecoder(profile=learnt())
    run(decoder, events_of(still()), drain=False)
    decoder.close()
    decoder.close()
    assert list(decoder.drain()) == []


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_order_holds_whatever_happens(data: st.DataObject) -> None:
    """Finds, damage and drains anywhere: frames in order, once, none behind its fragment's end."""
    video = data.draw(st.sampled_from([still(), visited()]))
    events = events_of(video)
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(100, len(events) - 1))
        event = events[at]
        if isinstance(event, Packet):
            events[at] = replace(event, data=data.draw(st.binary(max_size=60)))
    found = data.draw(st.sets(st.integers(0, 35), max_size=3))
    drains = data.draw(st.sets(st.integers(0, len(events) - 1), max_size=2))
    decoder = GatedDecoder(profile=learnt())
    seen, passes = Seen(), data.draw(st.booleans())
    begin = 0
    for end in (*sorted(drains), len(events)):
        run(decoder, events[begin:end], finds=lambda t: int(t) in found, seen=seen, passes=passes)
        begin = end
    assert seen.times == sorted(set(seen.times))
    assert len(seen.done) == len(set(seen.done))
