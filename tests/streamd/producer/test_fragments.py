"""Where fragments begin, and what they are made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs.mkv import Block, ClusterStart, MkvParser
from streamd.kvs.mkv_parts import Track
from streamd.kvs.mkv_write import stream_header
from streamd.producer.fragments import Fragment, Fragmenter
from streamd.producer.media import MediaUnit

MS = 1_000_000
START_MS = 1_700_000_000_000
VIDEO = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=2, height_px=2)
TRACKS = (VIDEO,)


def unit(*, keyframe: bool, tracks: tuple[Track, ...] = TRACKS, track_number: int = 1) -> MediaUnit:
    return MediaUnit(
        tracks=tracks,
        track_number=track_number,
        pts_ns=0,
        dts_ns=0,
        duration_ns=40 * MS,
        is_keyframe=keyframe,
        data=b"frame",
    )


def push(fragmenter: Fragmenter, at_ms: int, *, keyframe: bool) -> Fragment:
    written = fragmenter.push(unit(keyframe=keyframe), (START_MS + at_ms) * MS)
    assert written is not None
    return written[0]


def fragments(frames: list[tuple[int, bool]]) -> list[Fragment]:
    """Push (milliseconds, keyframe) pairs; return the fragments in order."""
    fragmenter = Fragmenter()
    found: list[Fragment] = []
    for at_ms, keyframe in frames:
        fragment = push(fragmenter, at_ms, keyframe=keyframe)
        if not found or found[-1] is not fragment:
            found.append(fragment)
    fragmenter.finish()
    return found


def test_a_keyframe_begins_a_fragment() -> None:
    """Two seconds between keyframes make fragments of two seconds."""
    found = fragments([(at, at % 2000 == 0) for at in range(0, 6000, 100)])
    assert [f.timecode_ms - START_MS for f in found] == [0, 2000, 4000]
    assert [f.frames for f in found] == [20, 20, 20]
    assert all(f.complete and f.starts_with_keyframe for f in found)


def test_close_keyframes_share_a_fragment() -> None:
    """Where every frame is a keyframe, fragments still last a second."""
    found = fragments([(at, True) for at in range(0, 3000, 100)])
    assert [f.timecode_ms - START_MS for f in found] == [0, 1000, 2000]


def test_far_keyframes_are_cut() -> None:
    """Without a keyframe for ten seconds the fragment is cut, and says so."""
    found = fragments([(at, at == 0) for at in range(0, 25_000, 100)])
    assert [f.timecode_ms - START_MS for f in found] == [0, 10_000, 20_000]
    assert [f.starts_with_keyframe for f in found] == [True, False, False]


def test_other_tracks_begin_a_fragment_at_the_next_keyframe() -> None:
    """A change of resolution starts a fragment with its own tracks, even a short one."""
    wide = (Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=4, height_px=4),)
    fragmenter = Fragmenter()
    first = push(fragmenter, 0, keyframe=True)
    written = fragmenter.push(unit(keyframe=True, tracks=wide), (START_MS + 100) * MS)
    assert written is not None
    assert written[0] is not first
    assert written[0].tracks == wide
    assert first.complete


def test_sound_before_the_first_picture_is_dropped() -> None:
    """A fragment begins with a picture."""
    sound = unit(keyframe=True, track_number=2)
    assert Fragmenter().push(sound, START_MS * MS) is None


def test_sound_never_begins_a_fragment() -> None:
    """Sound goes into the fragment at hand, however long that lasts."""
    fragmenter = Fragmenter()
    first = push(fragmenter, 0, keyframe=True)
    written = fragmenter.push(unit(keyframe=True, track_number=2), (START_MS + 12_000) * MS)
    assert written is not None
    assert written[0] is first


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 200),
)
def test_the_bytes_are_a_document(steps: list[tuple[int, bool]], back_ms: int) -> None:
    """Header and chunks parse to the same clusters and absolute times, B-frames included."""
    frames: list[tuple[int, bool]] = []
    now = 1000
    for step, keyframe in steps:
        now += step
        shown = now if keyframe or not frames else now - back_ms
        frames.append((shown, keyframe or not frames))
    found = fragments(frames)
    parser = MkvParser()
    events = parser.feed(stream_header(TRACKS) + b"".join(b"".join(f.chunks) for f in found))
    parser.close()
    clusters = [event.timecode for event in events if isinstance(event, ClusterStart)]
    blocks = [event.timecode for event in events if isinstance(event, Block)]
    assert clusters == [f.timecode_ms for f in found]
    assert blocks == [START_MS + at for at, _ in frames]
    assert all(f.size_bytes == sum(map(len, f.chunks)) for f in found)


def test_a_fragment_without_sound_gets_silence() -> None:
    """Where a sound track is declared and none came, one silent frame stands for it."""
    tracks = (VIDEO, Track(number=2, kind="audio", codec_id="A_AAC"))
    fragmenter = Fragmenter()
    fragmenter.silence = b"silent"
    mute = fragmenter.push(unit(keyframe=True, tracks=tracks), START_MS * MS)
    later = (START_MS + 2000) * MS
    loud = fragmenter.push(unit(keyframe=True, tracks=tracks), later)
    fragmenter.push(unit(keyframe=True, tracks=tracks, track_number=2), later)
    fragmenter.finish()
    assert mute is not None
    assert loud is not None
    assert mute[0].chunks[-1].endswith(b"silent")
    assert not any(chunk.endswith(b"silent") for chunk in loud[0].chunks)
