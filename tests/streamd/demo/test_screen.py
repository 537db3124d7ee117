"""What the demo prints without a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from processors.geometry import Box
from streamd.demo.results import FaceSeen, FrameResult, LabelSeen, SessionOver
from streamd.demo.screen import Screen

BOX = Box(left=0.25, top=0.125, width=0.5, height=0.75)


def frame(at: float, *faces: FaceSeen) -> FrameResult:
    return FrameResult(
        fragment_number="1", offset_seconds=0, shown_at=at, latency_seconds=0.123, faces=faces
    )


def printed() -> tuple[Screen, io.StringIO]:
    target = io.StringIO()
    return Screen(Console(file=target, width=100, highlight=False)), target


def test_a_line_per_face() -> None:
    """Time, name, similarity, box, latency; unknown faces, too; silence is counted."""
    screen, target = printed()
    known = FaceSeen(box=BOX, name="alice", similarity_percent=97.44)
    unknown = FaceSeen(box=BOX, name=None, similarity_percent=None)
    for result in (frame(0.2), frame(0.4), frame(1.5, known, unknown)):
        screen.frame(result)
    assert [line.split() for line in target.getvalue().splitlines()] == [
        ["00:00:00.200", "no", "face", "in", "2", "analysed", "frames"],
        ["00:00:01.500", "face", "alice", "97.4", "%", "0.25", "0.12", "0.50", "0.75", "123", "ms"],
        ["00:00:01.500", "face", "unknown", "0.25", "0.12", "0.50", "0.75", "123", "ms"],
    ]


def test_notifications() -> None:
    """Labels and the end of the session have a line each."""
    screen, target = printed()
    screen.label(
        LabelSeen(
            label="PET", confidence_percent=93, box=BOX, fragment_number="1", offset_seconds=0,
            shown_at=2.0, image_uri="s3://bucket/a/b.jpg",
        )
    )  # fmt: skip
    screen.session_over(SessionOver(message="done", processed_seconds=24.0))
    first, second = target.getvalue().splitlines()
    assert "00:00:02.000  LABEL_DETECTED PET" in first
    assert first.endswith("hero frame in s3://bucket")
    assert second.strip() == "STREAM_PROCESSING_COMPLETE after 24.0 s of video: done"


def test_steps_are_plain_lines() -> None:
    """No control characters and no spinner where there is no terminal."""
    screen, target = printed()
    with screen.step("the daemon starts") as outcome:
        outcome("http://127.0.0.1:1")
    assert target.getvalue().splitlines() == [
        "... the daemon starts",
        "  ✓ the daemon starts: http://127.0.0.1:1",
    ]


def test_the_summary_counts() -> None:
    """Frames, faces, names, labels and the median latency."""
    screen, target = printed()
    known = FaceSeen(box=BOX, name="alice", similarity_percent=97.0)
    unknown = FaceSeen(box=BOX, name=None, similarity_percent=None)
    screen.summary([frame(0, known, unknown), frame(1), frame(2, known)], [], seconds=3.0)
    text = target.getvalue()
    assert "3 in 2 frames" in text
    assert "2 times, similarity up to 97.0 %" in text
    assert "1 times" in text
    assert "123 ms" in text
    assert "none" in text


def test_where_the_pictures_are() -> None:
    """The folder, and the file to open first."""
    screen, target = printed()
    screen.files(Path("out"), [Path("out/01.jpg"), Path("out/contact-sheet.jpg")])
    screen.files(Path("out"), [])
    assert "open out/contact-sheet.jpg" in target.getvalue()
    assert "nothing was found" in target.getvalue()
