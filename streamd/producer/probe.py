"""A short look at a source: what it sends, and whether its clock is right; blocking."""

from __future__ import annotations

import time
from dataclasses import dataclass

from streamd.producer.errors import SourceError
from streamd.producer.media import VIDEO_TRACK
from streamd.producer.opening import SourceOptions
from streamd.producer.source import PyavSource

__all__ = ["SourceReport", "look_at"]


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """What was seen."""

    codec: str
    width_px: int
    height_px: int
    frame_rate: float
    audio_codec: str | None
    is_live: bool
    clock_offset_seconds: float | None
    """How far the camera's clock is ahead of ours; ``None``: it did not tell."""
    notes: tuple[str, ...]


def look_at(url: str, options: SourceOptions, *, seconds: float) -> SourceReport:
    """Open a source and read until a keyframe came and its clock is known, or time is up.

    Args:
        url: Of the source.
        options: As it will be read.
        seconds: How long to read; a time-out of the options may come on top.

    Raises:
        SourceError: If it cannot be opened or read, or sends no keyframe in time.

    """
    source = PyavSource(url, options)
    try:
        offset = _watch(source, seconds)
        width_px, height_px = source.size_px
        return SourceReport(
            codec=source.codec,
            width_px=width_px,
            height_px=height_px,
            frame_rate=source.frame_rate,
            audio_codec=source.audio_codec,
            is_live=source.is_live,
            clock_offset_seconds=offset,
            notes=tuple(source.notes),
        )
    finally:
        source.close()


def _watch(source: PyavSource, seconds: float) -> float | None:
    deadline = time.monotonic() + seconds
    has_keyframe, offset = False, None
    while time.monotonic() < deadline:
        units = source.read()
        if not units and not has_keyframe:
            raise SourceError(f"{source.name} ends before its first keyframe")
        for unit in units:
            has_keyframe = has_keyframe or (unit.is_keyframe and unit.track_number == VIDEO_TRACK)
            if unit.taken_ns is not None:
                offset = (unit.taken_ns - time.time_ns()) / 1e9
        if has_keyframe and (not units or not source.is_live or offset is not None):
            break
    if not has_keyframe:
        hint = "set the camera's keyframe interval to 2 s"
        raise SourceError(f"{source.name} sent no keyframe in {seconds:g} s", hint=hint)
    return offset
