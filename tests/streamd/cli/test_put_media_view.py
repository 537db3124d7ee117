"""What ``streamd put-media`` says, line by line where there is no terminal."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from streamd.cli import put_media_view
from streamd.cli.put_media_view import PutMediaView
from streamd.kvs.acks import Acknowledgement, EventType
from streamd.producer import Event, EventKind, ProducerStats, PyavSource, StreamInfo

SOURCE = cast(
    PyavSource,
    SimpleNamespace(
        name="clip.mp4", codec="h264", frame_rate=25.0, duration_seconds=4.0, notes=["no sound"]
    ),
)


def view(*, retention_hours: int = 24, terminal: bool = False) -> tuple[PutMediaView, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, width=120, force_terminal=terminal, color_system=None)
    stream = StreamInfo(
        name="door", arn="arn:door", retention_hours=retention_hours, was_created=True
    )
    return PutMediaView(console, stream=stream, source=SOURCE, is_endless=False), text


def stats(**counts: float) -> ProducerStats:
    return ProducerStats(**counts)  # type: ignore[arg-type]  # counts by name


def test_it_begins_with_what_goes_where() -> None:
    """Stream, ARN, source, and what there is to know of it."""
    shown, text = view()
    shown.begin(stats())
    assert [" ".join(line.split()) for line in text.getvalue().splitlines()] == [
        "stream door (made, retention 24 h)",
        "arn:door",
        "source clip.mp4 (h264, 25 fps, 4.0 s)",
        "note no sound",
    ]


def test_only_news_are_lines() -> None:
    """The first connection is none; another one, and what went wrong, are."""
    shown, text = view()
    shown.take(Event(kind=EventKind.CONNECTED))
    assert text.getvalue() == ""
    shown.take(Event(kind=EventKind.DISCONNECTED, text="the connection broke"))
    shown.take(Event(kind=EventKind.CONNECTED))
    assert [line.split(maxsplit=1)[1] for line in text.getvalue().splitlines()] == [
        "the connection broke",
        "connected again",
    ]


@pytest.mark.parametrize(
    ("retention_hours", "says"),
    [(24, "every fragment persisted (2)"), (0, "every fragment received (3)")],
    ids=["kept", "kept nowhere"],
)
def test_it_ends_with_what_was_sent(retention_hours: int, says: str) -> None:
    """And with what went wrong on the way."""
    shown, text = view(retention_hours=retention_hours)
    shown.begin(stats(fragments=3, received=3, persisted=2, reconnects=1, dropped=4))
    shown.summary()
    last = text.getvalue().splitlines()[-1]
    assert says in last
    assert "1 reconnections" in last
    assert "4 fragments dropped" in last


@pytest.mark.parametrize("terminal", [False, True], ids=["file", "terminal"])
async def test_progress_is_told_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    """The newest acknowledgement with the end of its number, and the counts."""
    monkeypatch.setattr(put_media_view, "PLAIN_SECONDS", 0.001)
    monkeypatch.setattr(put_media_view, "REFRESH_SECONDS", 0.001)
    shown, text = view(terminal=terminal)
    shown.begin(stats(fragments=1, frames=50))
    ack = Acknowledgement(
        event_type=EventType.PERSISTED, fragment_timecode_ms=0, fragment_number="9" * 41 + "123456"
    )
    shown.take(Event(kind=EventKind.ACKNOWLEDGED, acknowledgement=ack))
    with shown:
        task = asyncio.create_task(shown.refresh())
        async with asyncio.timeout(20):
            while "PERSISTED …123456" not in text.getvalue():  # noqa: ASYNC110  # of a console, no event
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
    assert "50 frames" in text.getvalue()
