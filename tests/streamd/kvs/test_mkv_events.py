"""What a block tells beside its bytes."""

from __future__ import annotations

from streamd.kvs.mkv_events import Block


def block(raw: bytes, *spans: tuple[int, int], prefix: bytes = b"") -> Block:
    return Block(
        track_number=1,
        relative_timecode=-40,
        cluster_timecode=1000,
        keyframe=True,
        raw=raw,
        _spans=spans,
        _prefix=prefix,
    )


def test_a_blocks_time_is_its_clusters_and_its_own() -> None:
    """A block may lie before its cluster's timecode: sound beside video does."""
    assert block(b"").timecode == 960


def test_laced_frames_are_cut_out() -> None:
    """Each span of the bytes is one frame, without what stands before and between."""
    assert block(b"head1122", (4, 6), (6, 8)).frames == (b"11", b"22")


def test_bytes_a_track_leaves_out_are_put_back() -> None:
    """Header stripping: every frame begins with what the track says once."""
    assert block(b"ab", (0, 1), (1, 2), prefix=b"\x00").frames == (b"\x00a", b"\x00b")
