"""What the Matroska parser tells: every event carries ``raw``, the bytes it was made of."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.kvs.mkv_parts import Track

__all__ = ["Block", "ClusterEnd", "ClusterStart", "Event", "Other", "StreamHeader", "Tags"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamHeader:
    """EBML header, Segment, Info and Tracks of one document have been read."""

    tracks: tuple[Track, ...]
    timecode_scale_ns: int
    """Length of one tick of a timecode."""
    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Tags:
    """A Tags element; a name that comes twice keeps its last value."""

    values: dict[str, str]
    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterStart:
    """A Cluster begins and its timecode is known."""

    timecode: int
    """In ticks of the timecode scale."""
    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A SimpleBlock or BlockGroup."""

    track_number: int
    relative_timecode: int
    """Ticks after the cluster's timecode, -32768 to 32767."""
    cluster_timecode: int
    keyframe: bool
    raw: bytes
    _spans: tuple[tuple[int, int], ...]
    _prefix: bytes

    @property
    def timecode(self) -> int:
        """Ticks since the start of the Segment."""
        return self.cluster_timecode + self.relative_timecode

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The frames in the block (more than one when laced), copied out at each access."""
        prefix, raw = self._prefix, self.raw
        return tuple([prefix + raw[start:end] for start, end in self._spans])


@dataclass(frozen=True, slots=True)
class ClusterEnd:
    """The Cluster is over: its size is used up, or something else begins."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Other:
    """Void, CRC-32, Cues and the like."""

    raw: bytes


Event = StreamHeader | Tags | ClusterStart | Block | ClusterEnd | Other
