"""How far a session has come, and what it has seen before."""

from __future__ import annotations

import pytest

from streamd.pipeline.progress import SessionProgress
from streamd.records import FramePosition


def at(fragment: int, offset_ns: int = 0, *, producer_ms: int = 1_700_000_000_000) -> FramePosition:
    return FramePosition(
        fragment_number=str(fragment),
        server_timestamp_ms=producer_ms,
        producer_timestamp_ms=producer_ms,
        frame_offset_ns=offset_ns,
    )


@pytest.mark.parametrize(
    ("position", "has_passed"),
    [(at(4, 9), True), (at(5, 0), True), (at(5, 7), True), (at(5, 8), False), (at(6), False)],
    ids=["older fragment", "earlier frame", "same frame", "later frame", "newer fragment"],
)
def test_frames_up_to_the_last_one_are_passed(position: FramePosition, *, has_passed: bool) -> None:
    """After a crash no frame is analysed twice, and none is left out."""
    progress = SessionProgress(session_id="s", position=at(5, 7))
    assert progress.has_passed(position) is has_passed


def test_numbers_are_compared_as_numbers() -> None:
    """Fragment 10 follows fragment 9."""
    progress = SessionProgress(session_id="s", last_fragment_number="9")
    assert progress.has_completed("9")
    assert not progress.has_completed("10")
    assert progress.has_passed(at(9, 10**9))
    assert not progress.has_passed(at(10))


def test_a_new_session_has_passed_nothing() -> None:
    """Whatever the number."""
    assert not SessionProgress(session_id="s").has_passed(at(1))


def test_media_time_begins_with_the_first_frame() -> None:
    """It goes on after a restart, and never below zero."""
    progress = SessionProgress(session_id="s")
    assert progress.media_time_ms(at(1, 500_000_000)) == 0
    assert progress.media_time_ms(at(1, 750_000_000)) == 250
    again = SessionProgress.model_validate_json(progress.model_dump_json())
    assert again.media_time_ms(at(2, producer_ms=1_700_000_002_000)) == 1500
    assert again.media_time_ms(at(2, producer_ms=1_600_000_000_000)) == 0


def test_a_newer_daemons_state_is_read() -> None:
    """Members this version does not know are passed over: a way back must not lose a session."""
    text = '{"session_id": "s", "seen": ["PET"], "of_tomorrow": 1}'
    assert SessionProgress.model_validate_json(text).seen == ["PET"]
