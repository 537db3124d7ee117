"""Cutting packets into fragments: what goes into which cluster, as MKV bytes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamd.kvs import mkv_write
from streamd.kvs.mkv_parts import Track
from streamd.producer.media import AUDIO_TRACK, VIDEO_TRACK, MediaUnit

__all__ = ["Fragment", "Fragmenter"]

NS_PER_MS = 1_000_000
MIN_FRAGMENT_MS = 940
"""Kinesis Video takes no shorter fragments for long (quota: 1 to 20 s, at most 5 a second).
A camera's second between keyframes is not exact, and must not become two."""
MAX_FRAGMENT_MS = 10_000
"""Error 4002, MAX_FRAGMENT_DURATION_REACHED, speaks of 10 s."""


@dataclass(kw_only=True, slots=True, eq=False)
class Fragment:
    """One cluster on its way; it grows until the next one begins."""

    tracks: tuple[Track, ...]
    timecode_ms: int
    """Producer timestamp, ms since 1970; what acknowledgements name it by."""
    starts_with_keyframe: bool
    chunks: list[bytes] = field(default_factory=list)
    """The cluster's head, then one SimpleBlock each."""
    frames: int = 0
    size_bytes: int = 0
    end_ms: int = 0
    has_sound: bool = False
    complete: bool = False

    def add(self, chunk: bytes) -> None:
        """Append bytes of MKV."""
        self.chunks.append(chunk)
        self.size_bytes += len(chunk)


class Fragmenter:
    """Opens a fragment at each keyframe that is due, and writes every packet into one."""

    def __init__(self, *, min_ms: int = MIN_FRAGMENT_MS, max_ms: int = MAX_FRAGMENT_MS) -> None:
        self._min_ms = min_ms
        self._max_ms = max_ms
        self._current: Fragment | None = None
        self.silence: bytes | None = None
        """A silent frame of the sound's codec, where there is sound."""

    def push(self, unit: MediaUnit, shown_ns: int) -> tuple[Fragment, bytes] | None:
        """Write one packet.

        Returns:
            The fragment it went into, a new one where it begins one, and the new bytes;
            ``None`` for a packet that belongs to no fragment.

        """
        shown_ms = (shown_ns + NS_PER_MS // 2) // NS_PER_MS
        if self._begins(unit, shown_ms):
            self.finish()
            self._current = _open(unit, shown_ms)
        fragment = self._current
        if fragment is None:
            return None  # sound before the first picture
        relative = shown_ms - fragment.timecode_ms
        if not mkv_write.MIN_RELATIVE_TIMECODE <= relative <= mkv_write.MAX_RELATIVE_TIMECODE:
            return None  # sound that is half a minute away from its pictures
        block = mkv_write.simple_block(
            unit.track_number, relative, unit.data, keyframe=unit.is_keyframe
        )
        fragment.add(block)
        fragment.end_ms = max(fragment.end_ms, shown_ms + unit.duration_ns // NS_PER_MS)
        fragment.frames += unit.track_number == VIDEO_TRACK
        fragment.has_sound = fragment.has_sound or unit.track_number == AUDIO_TRACK
        return fragment, block

    def finish(self) -> None:
        """Close the current fragment: the source has ended or starts anew."""
        if self._current is not None:
            self._fill(self._current)
            self._current.complete = True
            self._current = None

    def _fill(self, fragment: Fragment) -> None:
        """Put a silent frame where no sound came, as at the cut of a connection.

        "Each fragment must contain at least one frame for each track" (PutMedia).
        """
        declared = any(track.number == AUDIO_TRACK for track in fragment.tracks)
        if declared and not fragment.has_sound and self.silence is not None:
            fragment.add(mkv_write.simple_block(AUDIO_TRACK, 0, self.silence, keyframe=True))

    def _begins(self, unit: MediaUnit, shown_ms: int) -> bool:
        if unit.track_number != VIDEO_TRACK:
            return False
        if self._current is None or unit.tracks is not self._current.tracks:
            return unit.is_keyframe or self._current is None
        lasted = shown_ms - self._current.timecode_ms
        return lasted >= (self._min_ms if unit.is_keyframe else self._max_ms)


def _open(unit: MediaUnit, shown_ms: int) -> Fragment:
    fragment = Fragment(
        tracks=unit.tracks, timecode_ms=shown_ms, starts_with_keyframe=unit.is_keyframe
    )
    fragment.add(mkv_write.cluster_start(shown_ms))
    return fragment
