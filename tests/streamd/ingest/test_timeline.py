"""Producers' clocks, judged."""

from __future__ import annotations

from streamd.ingest.timeline import Judgement, Timeline
from streamd.kvs.fragments import FragmentInfo

MS = 1_000_000
NOW = 1_700_000_000_000


def fragment(number: int, *, producer_ms: int, server_ms: int) -> FragmentInfo:
    """A fragment with times."""
    return FragmentInfo(
        number=str(number),
        server_timestamp_ms=server_ms,
        producer_timestamp_ms=producer_ms,
        video=None,
        timecode_scale_ns=MS,
        cluster_timecode=0,
    )


def place(timeline: Timeline, of: FragmentInfo, *offsets_ms: int) -> list[tuple[int, Judgement]]:
    """Media time in ms and judgement of frames at these offsets."""
    moments = [timeline.place(of, offset * MS) for offset in offsets_ms]
    return [(round(moment.media_time_ns / MS), moment.judgement) for moment in moments]


def test_media_time_runs_with_the_video() -> None:
    """Media time begins at 0 and follows producer time over fragments."""
    timeline = Timeline()
    first = fragment(1, producer_ms=NOW, server_ms=NOW + 300)
    second = fragment(2, producer_ms=NOW + 80, server_ms=NOW + 2000)
    assert place(timeline, first, 0, 40) == [(0, Judgement.CONTINUES), (40, Judgement.CONTINUES)]
    assert place(timeline, second, 0, 40) == [(80, Judgement.CONTINUES), (120, Judgement.CONTINUES)]


def test_camera_away() -> None:
    """A gap that the server saw as well is a gap, and time passes."""
    timeline = Timeline()
    place(timeline, fragment(1, producer_ms=NOW, server_ms=NOW), 0, 40)
    later = fragment(2, producer_ms=NOW + 60_000, server_ms=NOW + 61_000)
    assert place(timeline, later, 0) == [(60_000, Judgement.GAP)]


def test_clock_set_forward() -> None:
    """A jump of the producer's clock alone moves media time by one frame."""
    timeline = Timeline()
    place(timeline, fragment(1, producer_ms=NOW, server_ms=NOW), 0, 40)
    later = fragment(2, producer_ms=NOW + 3_600_000, server_ms=NOW + 80)
    assert place(timeline, later, 0, 40) == [
        (80, Judgement.JUMPED_FORWARD),
        (120, Judgement.CONTINUES),
    ]


def test_clock_set_back() -> None:
    """Timestamps that begin again do not turn media time back."""
    timeline = Timeline()
    place(timeline, fragment(1, producer_ms=NOW, server_ms=NOW), 0, 40)
    later = fragment(2, producer_ms=5, server_ms=NOW + 80)
    assert place(timeline, later, 0, 40) == [
        (80, Judgement.JUMPED_BACK),
        (120, Judgement.CONTINUES),
    ]


def test_no_producer_time() -> None:
    """Where the producer gives no time the server's is used; the change is a jump."""
    timeline = Timeline()
    place(timeline, fragment(1, producer_ms=0, server_ms=NOW), 0, 40)
    assert place(timeline, fragment(2, producer_ms=0, server_ms=NOW + 90), 0) == [
        (90, Judgement.CONTINUES)
    ]
    assert place(timeline, fragment(3, producer_ms=NOW + 500, server_ms=NOW + 130), 0) == [
        (130, Judgement.JUMPED_FORWARD)
    ]


def test_fragment_read_again() -> None:
    """A fragment that was cut off and is read again has the same media times."""
    timeline = Timeline()
    cut = fragment(1, producer_ms=NOW, server_ms=NOW)
    place(timeline, cut, 0, 40)
    again = fragment(1, producer_ms=NOW, server_ms=NOW)
    assert [time for time, _ in place(timeline, again, 0, 40, 80)] == [0, 40, 80]


def test_fast_upload() -> None:
    """A file sent faster than it plays keeps its own time."""
    timeline = Timeline()
    times: list[tuple[int, Judgement]] = []
    for index in range(5):
        part = fragment(index, producer_ms=NOW + index * 4000, server_ms=NOW + index * 20)
        times = place(timeline, part, *range(0, 4000, 500))
    assert times[-1] == (19_500, Judgement.CONTINUES)


def test_moment_in_seconds() -> None:
    """Seconds are there for people."""
    timeline = Timeline()
    first = fragment(1, producer_ms=NOW, server_ms=NOW)
    timeline.place(first, 0)
    assert timeline.place(first, 1500 * MS).media_time_seconds == 1.5
