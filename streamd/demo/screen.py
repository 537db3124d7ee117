"""What the demo prints: numbered steps, a line per result, a table at the end."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from processors.draw import color_of
from processors.geometry import Box
from streamd.demo.results import FrameResult, LabelSeen, SessionOver

__all__ = ["Screen"]


class Screen:
    """Prints; spinners and bars only where there is a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._silent = 0
        """Analysed frames without a face since the last line."""
        self._silent_since = 0.0

    def title(self) -> None:
        """Say what is to come."""
        self.console.print("[bold]streamd demo[/]: a camera in, faces matched, results out")

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something is going on; yields how to say its outcome."""
        began = time.monotonic()
        outcome: list[str] = []
        if self.console.is_terminal:
            with self.console.status(text):
                yield outcome.append
        else:
            self.console.print(f"... {text}", markup=False, soft_wrap=True)
            yield outcome.append
        self.done(f"{text}: {outcome[-1]}" if outcome else text, time.monotonic() - began)

    def done(self, text: str, seconds: float | None = None) -> None:
        """Print a line about something that worked."""
        line = Text("  ✓ ", style="green")
        line.append(text, style="default")
        if seconds is not None and seconds >= 0.1:
            line.append(f"  {seconds:.1f} s", style="dim")
        self.console.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line about something the user should know."""
        line = Text("  ! ", style="yellow")
        line.append(text, style="default")
        self.console.print(line, soft_wrap=True)

    def headings(self) -> None:
        """Print what the columns of the results mean."""
        head = f"    {'time':<12}  {'result':<22}{'':<9}  {'left   top width height':<24}  latency"
        self.console.print(head, style="dim", markup=False, soft_wrap=True)

    def frame(self, result: FrameResult) -> None:
        """Print a record: a line per face; frames without one are counted."""
        if not result.faces:
            self._silent += 1
            self._silent_since = self._silent_since or result.shown_at
            return
        self.quiet_over()
        for face in result.faces:
            known = face.name is not None
            share = "" if face.similarity_percent is None else f"{face.similarity_percent:6.1f} %"
            line = Text(f"    {_clock(result.shown_at)}  ")
            style = f"bold rgb{color_of(face.name)}" if face.name is not None else "dim"
            line.append(f"face {face.name if known else 'unknown':<17}", style=style)
            line.append(f"{share:<9}  {_box(face.box)}  {result.latency_seconds * 1000:5.0f} ms")
            self.console.print(line, soft_wrap=True)

    def label(self, result: LabelSeen) -> None:
        """Print a LABEL_DETECTED notification."""
        self.quiet_over()
        share = "" if result.confidence_percent is None else f"{result.confidence_percent:6.1f} %"
        line = Text(f"    {_clock(result.shown_at)}  ")
        line.append(f"LABEL_DETECTED {result.label:<7}", style=f"bold rgb{color_of(result.label)}")
        line.append(f"{share:<9}  {_box(result.box)}  {_bucket(result.image_uri)}")
        self.console.print(line, soft_wrap=True)

    def session_over(self, result: SessionOver) -> None:
        """Print a STREAM_PROCESSING_COMPLETE notification."""
        self.quiet_over()
        text = f"STREAM_PROCESSING_COMPLETE after {result.processed_seconds:.1f} s of video"
        self.console.print(f"    {text}: {result.message}", markup=False, soft_wrap=True)

    def quiet_over(self) -> None:
        """Print how many frames had no face, if there were any."""
        if self._silent:
            text = f"    {_clock(self._silent_since)}  no face in {self._silent} analysed frames"
            self.console.print(text, style="dim", markup=False, soft_wrap=True)
        self._silent, self._silent_since = 0, 0.0

    def summary(
        self, frames: Sequence[FrameResult], labels: Sequence[LabelSeen], *, seconds: float
    ) -> None:
        """Print the table of what was found."""
        faces = [face for frame in frames for face in frame.faces]
        names = Counter(face.name for face in faces if face.name is not None)
        table = Table(title="Summary", title_justify="left", show_header=False)
        table.add_column(style="bold")
        table.add_column()
        table.add_row("video sent", f"{seconds:.1f} s")
        table.add_row("frames analysed", str(len(frames)))
        table.add_row("faces found", f"{len(faces)} in {sum(1 for f in frames if f.faces)} frames")
        for name, count in names.most_common():
            best = max(f.similarity_percent or 0 for f in faces if f.name == name)
            table.add_row(f"  matched {name}", f"{count} times, similarity up to {best:.1f} %")
        unknown = len(faces) - names.total()
        if unknown:
            table.add_row("  unknown", f"{unknown} times")
        seen = ", ".join(sorted({label.label for label in labels})) or "none"
        table.add_row("labels detected", seen)
        latencies = [frame.latency_seconds for frame in frames]
        if latencies:
            median = statistics.median(latencies) * 1000
            table.add_row(
                "latency", f"{median:.0f} ms from a frame's arrival to its record (median)"
            )
        self.console.print(table)

    def files(self, folder: Path, paths: Sequence[Path]) -> None:
        """Say where the annotated frames are."""
        if paths:
            self.done(f"annotated frames are in {folder}: open {paths[-1]}")
        else:
            self.note("nothing was found, so there are no annotated frames")


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S.%f")[:-3]


def _bucket(uri: str | None) -> str:
    """Say where a hero frame lies, without the long key."""
    return "" if uri is None else f"hero frame in {'/'.join(uri.split('/')[:3])}"


def _box(box: Box) -> str:
    return f"{box.left:5.2f} {box.top:5.2f} {box.width:5.2f} {box.height:6.2f}"
