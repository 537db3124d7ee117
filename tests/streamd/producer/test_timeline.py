"""Producer times never go back, whatever the source's do."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streamd.producer.media import MediaUnit
from streamd.producer.timeline import ProducerTimeline

MS = 1_000_000
START = 1_700_000_000_000 * MS


def unit(pts_ms: int, dts_ms: int | None = None, *, keyframe: bool = False) -> MediaUnit:
    return MediaUnit(
        tracks=(),
        track_number=1,
        pts_ns=pts_ms * MS,
        dts_ns=(pts_ms if dts_ms is None else dts_ms) * MS,
        duration_ns=40 * MS,
        is_keyframe=keyframe,
        data=b"",
    )


def test_the_first_frame_is_at_the_start() -> None:
    """Media time is counted from the first frame shown."""
    line = ProducerTimeline(START)
    assert line.place(unit(5000, 4920)) == (START, START - 80 * MS)
    assert line.place(unit(5120, 4960)) == (START + 120 * MS, START - 40 * MS)


def test_a_loop_begins_where_the_last_ended() -> None:
    """The first frame of a loop follows the last by one frame."""
    line = ProducerTimeline(START)
    for pts in (0, 40, 80):
        line.place(unit(pts))
    line.restart()
    assert line.place(unit(0))[0] == START + 120 * MS


def test_a_camera_that_was_away_is_at_the_wall_clock() -> None:
    """After a reconnection the time is now, but never before what was sent."""
    line = ProducerTimeline(START)
    line.place(unit(0))
    line.restart(START + 60_000 * MS)
    assert line.place(unit(7))[0] == START + 60_000 * MS
    line.restart(START)
    assert line.place(unit(9))[0] == START + 60_040 * MS


def test_jumps_are_not_believed() -> None:
    """Times that go back, or leap by more than ten seconds, are laid behind what was sent."""
    line = ProducerTimeline(START)
    line.place(unit(0))
    assert line.place(unit(60_000))[0] == START + 40 * MS
    assert line.place(unit(100))[0] == START + 80 * MS
    assert line.jumps == 2


def test_a_pause_is_believed() -> None:
    """A few seconds without packets are a pause of the video."""
    line = ProducerTimeline(START)
    line.place(unit(0))
    assert line.place(unit(9000))[0] == START + 9000 * MS


def test_a_drifting_camera_follows_the_wall_clock() -> None:
    """A second of drift lays the line anew at the next keyframe, half a second does not."""
    line = ProducerTimeline(START)
    line.place(unit(0))
    assert not line.follow(START + 1500 * MS, unit(1000))
    assert line.follow(START + 2500 * MS, unit(1000))
    assert line.place(unit(1000))[0] == START + 2500 * MS


def test_a_line_that_is_ahead_runs_slower() -> None:
    """Three seconds ahead: no frame goes back, and in time the line is right again."""
    line = ProducerTimeline(START)
    line.place(unit(0))
    assert not line.follow(START - 3000 * MS + 40 * MS, unit(40, keyframe=True))
    shown = [line.place(unit(40 * index))[0] for index in range(1, 2001)]
    assert all(36 * MS < b - a <= 40 * MS for a, b in itertools.pairwise(shown))
    assert shown[-1] == START + 80_000 * MS - 3000 * MS


def test_a_better_time_for_the_first_frame() -> None:
    """It counts before the first frame, not after it."""
    line = ProducerTimeline(START)
    line.begin(START + 500 * MS)
    assert line.place(unit(0))[0] == START + 500 * MS
    line.begin(START + 9000 * MS)
    assert line.place(unit(40))[0] == START + 540 * MS


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=50))
def test_decoding_times_never_go_back(times: list[int]) -> None:
    """Without reordering, whatever a source says, times rise."""
    line = ProducerTimeline(START)
    placed = [line.place(unit(time))[1] for time in times]
    assert placed == sorted(placed)
    assert placed[0] == START
