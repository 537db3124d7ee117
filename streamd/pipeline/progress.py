"""How far a session has come: what must survive a crash, kept with the results it follows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from streamd.records import FramePosition
from streamd.records.label_detection import Sighting

__all__ = ["SessionProgress"]


class SessionProgress(BaseModel):
    """The state of one session, written in the transaction of the results it follows."""

    # A newer daemon's state must not stop an older one from going on.
    model_config = ConfigDict(extra="ignore")

    session_id: str
    role_arn: str | None = None
    """Role its results are written by; ``None``: the daemon's own credentials. Results may
    outlive their stream processor."""
    position: FramePosition | None = None
    """The last frame whose results are in the outbox."""
    last_fragment_number: str | None = None
    """All frames up to the end of this fragment are analysed."""
    first_media_ms: int | None = None
    """Producer time of the first analysed frame, where media time is 0."""
    processed_ms: int = 0
    """Media time of the fragments analysed to their end."""
    seen: list[str] = []
    """Object classes already notified in this label session."""
    sightings: list[Sighting] = []
    complete: bool = False
    """The final documents of a label session are in the outbox."""

    def has_passed(self, position: FramePosition) -> bool:
        """Return whether the frame's results were made before, by this process or another."""
        if self.has_completed(position.fragment_number):
            return True
        last = self.position
        if last is None:
            return False
        here, there = int(position.fragment_number), int(last.fragment_number)
        return here < there or (here == there and position.frame_offset_ns <= last.frame_offset_ns)

    def has_completed(self, fragment_number: str) -> bool:
        """Return whether all frames of the fragment were analysed: numbers rise in a stream."""
        last = self.last_fragment_number
        return last is not None and int(fragment_number) <= int(last)

    def media_time_ms(self, position: FramePosition) -> int:
        """Return the frame's media time since the session's first frame, 0 or more."""
        at = position.producer_timestamp_ms + position.frame_offset_ns // 1_000_000
        if self.first_media_ms is None:
            self.first_media_ms = at
        return max(0, at - self.first_media_ms)
