"""What a source hands out: tracks, and the packets of them with exact times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamd.kvs.mkv_parts import Track

__all__ = ["AUDIO_TRACK", "VIDEO_TRACK", "MediaSource", "MediaUnit"]

VIDEO_TRACK = 1
AUDIO_TRACK = 2
"""AWS's console and HLS want video in track 1 and audio in track 2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaUnit:
    """One packet, ready to be a SimpleBlock: one frame with length-prefixed NAL units."""

    tracks: tuple[Track, ...]
    """The tracks this packet was coded for; another value starts a new MKV document."""
    track_number: int
    pts_ns: int
    """When it is shown, on the source's own time line."""
    dts_ns: int
    """When it is decoded; rises from packet to packet of a track."""
    duration_ns: int
    is_keyframe: bool
    data: bytes
    taken_ns: int | None = None
    """When it is shown by the camera's own clock, ns since 1970; ``None``: unknown."""


class MediaSource(Protocol):
    """Something that gives packets; blocking."""

    is_live: bool
    """Whether the end is a disconnection, and nothing waits for a slow reader."""
    is_paced: bool
    """Whether packets come when they are due: not so of files, and of HLS with its segments."""

    silence: bytes | None
    """A silent frame of the sound that is sent; ``None`` where none is."""

    def read(self) -> list[MediaUnit]:
        """Return the next packets; an empty list is the end.

        Raises:
            SourceError: If the source broke.

        """

    def close(self) -> None:
        """Let the source go; may be called twice."""
