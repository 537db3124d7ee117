"""What ``streamd put-media`` shows: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from streamd.cli.output import megabytes
from streamd.producer import Event, EventKind, ProducerStats, PyavSource, StreamInfo

__all__ = ["PutMediaView"]

PLAIN_SECONDS = 5.0
"""Between two lines of progress where there is no terminal."""
REFRESH_SECONDS = 0.2


class PutMediaView:
    """Listens to a producer and shows how it is doing; a context manager while it runs."""

    def __init__(
        self, console: Console, *, stream: StreamInfo, source: PyavSource, is_endless: bool
    ) -> None:
        self.is_endless = is_endless
        self._console = console
        self._stream = stream
        self._source = source
        self._stats = ProducerStats()
        self._last_ack = "none yet"
        self._began = time.monotonic()
        self._spinner = Spinner("dots")
        self._connections = 0
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def begin(self, stats: ProducerStats) -> None:
        """Say what goes where."""
        self._stats = stats
        stream, source = self._stream, self._source
        made = f"made, retention {stream.retention_hours} h" if stream.was_created else "exists"
        self._line(f"stream   {stream.name} ({made})")
        self._line(f"         {stream.arn}")
        length = source.duration_seconds
        size = "" if length is None else f", {length:.1f} s"
        self._line(f"source   {source.name} ({source.codec}, {source.frame_rate:g} fps{size})")
        for note in source.notes:
            self.say(note)

    def __enter__(self) -> PutMediaView:
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def take(self, event: Event) -> None:
        """Hear what happened."""
        if event.acknowledgement is not None:
            ack = event.acknowledgement
            number = f" …{ack.fragment_number[-6:]}" if ack.fragment_number else ""
            self._last_ack = f"{ack.event_type.value}{number}"
        elif event.kind is EventKind.CONNECTED:
            self._connections += 1
            if self._connections > 1:
                self.say("connected again")
        else:
            self.say(event.text)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        note = Text("note     ", style="yellow")
        note.append(text, style="default")
        self._console.print(note, soft_wrap=True)

    async def refresh(self) -> None:
        """Keep the display current until cancelled."""
        is_live = self._console.is_terminal
        while True:
            await asyncio.sleep(REFRESH_SECONDS if is_live else PLAIN_SECONDS)
            if is_live:
                self._live.update(self._picture(), refresh=True)
            else:
                self._line(f"sent     {self._counts()}, last {self._last_ack}")

    def summary(self) -> None:
        """Say what was sent in all."""
        stats = self._stats
        safe = "persisted" if self._stream.retention_hours else "received"
        count = stats.persisted if self._stream.retention_hours else stats.received
        text = Text("done     ", style="bold green")
        text.append(f"{self._counts()}; every fragment {safe} ({count})", style="default")
        if stats.reconnects:
            text.append(f"; {stats.reconnects} reconnections")
        if stats.dropped:
            text.append(f"; {stats.dropped} fragments dropped while nobody took them", "red")
        self._console.print(text, soft_wrap=True)

    def _counts(self) -> str:
        stats = self._stats
        elapsed = max(time.monotonic() - self._began, 1e-3)
        return (
            f"{stats.media_seconds:.1f} s of video in {elapsed:.1f} s, {stats.frames} frames "
            f"({stats.frames / elapsed:.0f}/s), {megabytes(stats.bytes_sent)} "
            f"({stats.bytes_sent * 8 / 1e6 / elapsed:.1f} Mbit/s), {stats.fragments} fragments"
        )

    def _picture(self) -> Group:
        stats = self._stats
        bar = Table.grid(padding=(0, 1))
        total = None if self.is_endless else self._source.duration_seconds
        progress = (
            self._spinner
            if total is None
            else ProgressBar(total=total, completed=min(stats.media_seconds, total), width=32)
        )
        safe = f"{stats.persisted} persisted" if self._stream.retention_hours else "kept nowhere"
        bar.add_row(progress, Text(self._counts()))
        acks = Text(f"{stats.received} received, {safe}, last {self._last_ack}", style="dim")
        return Group(bar, acks)

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
