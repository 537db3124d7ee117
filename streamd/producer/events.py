"""What a producer is told, and what it tells: options, counts, events."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from streamd.kvs.acks import Acknowledgement
from streamd.producer.camera_clock import ClockSource

__all__ = ["Event", "EventKind", "ProducerOptions", "ProducerStats"]


class EventKind(enum.Enum):
    """What an observer is told."""

    NOTE = "note"
    CONNECTED = "connected"
    ACKNOWLEDGED = "acknowledged"
    DISCONNECTED = "disconnected"
    SOURCE_LOST = "source lost"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something worth telling the user."""

    kind: EventKind
    text: str = ""
    acknowledgement: Acknowledgement | None = None


@dataclass(frozen=True, kw_only=True)
class ProducerOptions:
    """How a producer sends."""

    fast: bool = False
    """As fast as the stream takes it, instead of in real time."""
    loop: bool = False
    """A file begins again at its end."""
    max_seconds: float | None = None
    """Longest media time to send; ``None``: all of it."""
    start_ns: int | None = None
    """Producer timestamp of the first frame, ns since 1970; ``None``: now."""
    give_up_seconds: float | None = 60.0
    """Without progress for this long the producer fails; ``None``: it never gives up."""
    max_buffer_bytes: int = 64 * 1024 * 1024
    clock: ClockSource = ClockSource.AUTO
    """Whose clock gives the times of a live source."""


@dataclass(kw_only=True)
class ProducerStats:
    """Counts that grow while a producer runs; read them any time."""

    frames: int = 0
    bytes_sent: int = 0
    media_seconds: float = 0.0
    fragments: int = 0
    received: int = 0
    persisted: int = 0
    reconnects: int = 0
    dropped: int = 0
    """Fragments of a camera that nobody took in time."""
    last_fragment_number: str | None = None
    first_timecode_ms: int | None = None
    clock_offset_seconds: float | None = None
    """How far the camera's clock is ahead of ours; ``None``: it does not tell."""
    uses_camera_clock: bool = False
