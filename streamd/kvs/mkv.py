"""A push parser for Matroska as Kinesis Video sends and receives it.

Bytes go in as they arrive, events come out as soon as their last byte is there. Every event
carries ``raw``, the bytes it was made of, with whatever stood between it and the event before
it; so the concatenation of all ``raw`` is the input, and a server can store what it was sent.

Rules beyond RFC 9559, each because damaged input must not be taken for video:

- nothing is accepted before an EBML header; several documents may follow each other;
- only a Segment or a Cluster may have an unknown size, which ends at the first element that
  cannot lie inside;
- an element the standard does not know at Segment or Cluster level is an error;
- every element has a size limit, so the buffer never holds more than one block.

After an error the events before it are still delivered: :meth:`MkvParser.feed` returns them
and raises at the next call. How the input is cut into chunks never changes the events.
"""

from __future__ import annotations

from typing import Final

from streamd.kvs import ebml
from streamd.kvs.ebml import CutOffError, MkvError, element_id, uint_value, vint
from streamd.kvs.mkv_events import (
    Block,
    ClusterEnd,
    ClusterStart,
    Event,
    Other,
    StreamHeader,
    Tags,
)
from streamd.kvs.mkv_parts import (
    DEFAULT_TIMECODE_SCALE_NS,
    KEYFRAME,
    LACING,
    Track,
    check_ebml_header,
    read_block,
    read_block_group,
    read_tags,
    read_timecode_scale,
    read_tracks,
)

__all__ = [
    "MAX_BLOCK_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_SKIPPED_BYTES",
    "MAX_TAGS_BYTES",
    "Block",
    "ClusterEnd",
    "ClusterStart",
    "CutOffError",
    "Event",
    "MkvError",
    "MkvParser",
    "Other",
    "StreamHeader",
    "Tags",
    "Track",
]

MAX_BLOCK_BYTES: Final = 16 * 1024 * 1024
MAX_HEADER_BYTES: Final = 1024 * 1024 + 64 * 1024
"""From the EBML header to the end of Tracks; CodecPrivate alone may have 1 MiB (SDK limit)."""
MAX_TAGS_BYTES: Final = 256 * 1024
MAX_SKIPPED_BYTES: Final = 1024 * 1024
"""Of an element that is only passed on, such as Void or Cues."""

_SEGMENT_ELEMENTS: Final = frozenset({
    ebml.SEEK_HEAD, ebml.INFO, ebml.TRACKS, ebml.CLUSTER, ebml.TAGS,
    ebml.CUES, ebml.CHAPTERS, ebml.ATTACHMENTS, ebml.VOID, ebml.CRC_32,
})  # fmt: skip
_CLUSTER_ELEMENTS: Final = frozenset({
    ebml.TIMECODE, ebml.SIMPLE_BLOCK, ebml.BLOCK_GROUP, ebml.POSITION, ebml.PREV_SIZE,
    ebml.SILENT_TRACKS, ebml.ENCRYPTED_BLOCK, ebml.VOID, ebml.CRC_32,
})  # fmt: skip
_ENDS_CLUSTER: Final = (_SEGMENT_ELEMENTS | {ebml.EBML}) - _CLUSTER_ELEMENTS
_LIMITS: Final = {
    ebml.EBML: 4096,
    ebml.SEEK_HEAD: MAX_HEADER_BYTES,
    ebml.INFO: MAX_HEADER_BYTES,
    ebml.TRACKS: MAX_HEADER_BYTES,
    ebml.TAGS: MAX_TAGS_BYTES,
    ebml.SIMPLE_BLOCK: MAX_BLOCK_BYTES,
    ebml.BLOCK_GROUP: MAX_BLOCK_BYTES,
    ebml.ENCRYPTED_BLOCK: MAX_BLOCK_BYTES,
    ebml.TIMECODE: 8,
}

_BLOCK_HEAD_BYTES: Final = 4  # track, timecode, flags; with tracks up to 126
_FIRST_TRACK, _LAST_TRACK = 0x81, 0xFE
_LEAST_BLOCK_BYTES: Final = 2 + _BLOCK_HEAD_BYTES


class MkvParser:
    """Turns chunks of bytes into events; one per body."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._base = 0  # stream offset of the buffer's first byte
        # Bytes the buffer must hold before looking at it again can bring anything.
        self._needed = 1
        # Bytes of elements whose event is still to come: header parts, a Cluster's beginning.
        self._pending = bytearray()
        self._error: MkvError | None = None
        self._closed = False
        self._in_segment = False
        self._segment_end: int | None = None
        """Stream offset; ``None`` while the size is unknown."""
        self._in_cluster = False
        self._cluster_end: int | None = None
        self._cluster_timecode: int | None = None
        self._in_document = False
        self._header_sent = False
        self._timecode_scale_ns: int | None = None
        self._tracks: tuple[Track, ...] | None = None
        self._prefixes: dict[int, bytes] = {}
        self._early_tags: list[dict[str, str]] = []

    @property
    def offset(self) -> int:
        """Stream offset of the first byte that no event and no header part has used."""
        return self._base

    @property
    def buffered_bytes(self) -> int:
        """Bytes held because their event is not complete."""
        return len(self._buffer) + len(self._pending)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Take the next bytes and return the events they complete.

        Raises:
            MkvError: If the input is not acceptable Matroska. Events completed before the
                damage are returned first; the error then comes with the next call.

        """
        if self._error is not None:
            raise self._error
        if self._closed:
            raise ValueError("feed() after close()")
        self._buffer += data
        if len(self._buffer) < self._needed:
            return []
        events: list[Event] = []
        position, failure = 0, None
        try:
            with memoryview(self._buffer) as view:
                while (
                    after := self._simple_block(view, position, events)
                    or self._step(view, position, events)
                ) is not None:
                    position = after
        except MkvError as error:
            failure = str(error)
        if failure is not None:
            self._error = MkvError(f"{failure} (at byte {self._base + position})")
            self._buffer = bytearray()
            if events:
                return events
            raise self._error
        del self._buffer[:position]
        self._base += position
        self._needed -= position
        return events

    def close(self) -> list[Event]:
        """Say that no more bytes come; return the end of an open cluster.

        Raises:
            CutOffError: If an element, or something of known size, is incomplete.
            MkvError: If an earlier error was not raised yet.

        """
        if self._error is not None:
            raise self._error
        if self._closed:
            return []
        self._closed = True
        at = self._base + len(self._buffer)
        if self._buffer:
            raise CutOffError(f"the stream ends inside an element (at byte {at})")
        if self._in_document and not self._header_sent:
            raise CutOffError(f"the stream ends inside its header (at byte {at})")
        for end in (self._cluster_end if self._in_cluster else None, self._segment_end):
            if end is not None and at < end:
                raise CutOffError(f"the stream ends {end - at} bytes too early (at byte {at})")
        events: list[Event] = []
        if self._in_cluster:
            self._end_cluster(events)
        return events

    def _simple_block(self, view: memoryview, pos: int, events: list[Event]) -> int:
        """Handle what nearly all of live media is; return the offset after it.

        That is a SimpleBlock of one frame in a cluster of unknown size, all there. 0: it is
        something else, which is for :meth:`_step` to tell.
        """
        timecode = self._cluster_timecode
        if (
            not self._in_cluster
            or timecode is None
            or self._cluster_end is not None
            or self._segment_end is not None
            or len(view) - pos < _LEAST_BLOCK_BYTES
            or view[pos] != ebml.SIMPLE_BLOCK
        ):
            return 0
        size = vint(view, pos + 1)
        if size is None:
            return 0
        length, start = size
        end = start + length
        if not _BLOCK_HEAD_BYTES <= length <= MAX_BLOCK_BYTES or end > len(view):
            return 0
        track, flags = view[start], view[start + 3]
        if not _FIRST_TRACK <= track <= _LAST_TRACK or flags & LACING:
            return 0
        events.append(
            Block(
                track_number=track & 0x7F,
                relative_timecode=int.from_bytes(view[start + 1 : start + 3], signed=True),
                cluster_timecode=timecode,
                keyframe=flags & KEYFRAME != 0,
                raw=bytes(view[pos:end]),
                _spans=((start + _BLOCK_HEAD_BYTES - pos, end - pos),),
                _prefix=self._prefixes.get(track & 0x7F, b""),
            )
        )
        return end

    def _step(self, view: memoryview, pos: int, events: list[Event]) -> int | None:
        """Handle one element (or the head of a Segment or Cluster); return the offset after it.

        ``None`` says that the buffer ends inside it; ``_needed`` then tells how much to wait for.
        """
        self._leave_finished(self._base + pos, events)
        if len(view) - pos < 2:
            return self._wait(pos + 2)
        head = element_id(view, pos)
        size = vint(view, head[1]) if head else None
        if head is None or size is None:
            return self._wait(len(view) + 1)
        identity = head[0]
        length, start = size
        self._check_place(identity, events)
        if identity in (ebml.SEGMENT, ebml.CLUSTER):
            self._check_fits(identity, self._base + start, max(length, 0))
            self._open(identity, self._base + start + length if length >= 0 else None, events)
            self._hold(view[pos:start])
            return start
        limit = _LIMITS.get(identity, MAX_SKIPPED_BYTES)
        if not 0 <= length <= limit:
            size_text = f"{length} bytes" if length >= 0 else "unknown size"
            raise MkvError(f"element 0x{identity:X} of {size_text}, {limit} bytes are the most")
        self._check_fits(identity, self._base + start, length)
        if len(view) < start + length:
            return self._wait(start + length)
        self._whole_element(identity, view, (pos, start, start + length), events)
        return start + length

    def _wait(self, needed: int) -> int | None:
        self._needed = needed
        return None

    def _leave_finished(self, at: int, events: list[Event]) -> None:
        if self._in_cluster and self._cluster_end == at:
            self._end_cluster(events)
        if self._in_segment and self._segment_end == at:
            self._in_segment = False
            self._segment_end = None

    def _check_place(self, identity: int, events: list[Event]) -> None:
        """Refuse an element that cannot stand here; close what its coming ends."""
        if self._in_cluster and identity not in _CLUSTER_ELEMENTS:
            if identity not in _ENDS_CLUSTER or self._cluster_end is not None:
                raise MkvError(f"element 0x{identity:X} in a cluster")
            self._end_cluster(events)
        if self._in_cluster:
            return
        if self._in_segment:
            if identity == ebml.EBML and self._segment_end is None:
                if not self._header_sent:
                    raise MkvError("a new EBML header before Tracks")
                self._in_segment = False
            elif identity not in _SEGMENT_ELEMENTS:
                raise MkvError(f"element 0x{identity:X} in a segment")
            return
        awaited = ebml.EBML if self._header_sent or not self._in_document else ebml.SEGMENT
        filler = self._in_document and identity in (ebml.VOID, ebml.CRC_32)
        if identity != awaited and not filler:
            name = "an EBML header" if awaited == ebml.EBML else "a segment"
            raise MkvError(f"element 0x{identity:X} where {name} should begin")

    def _check_fits(self, identity: int, start: int, length: int) -> None:
        for end in (self._cluster_end if self._in_cluster else None, self._segment_end):
            if end is not None and start + length > end:
                raise MkvError(f"element 0x{identity:X} is longer than its parent")

    def _whole_element(
        self, identity: int, view: memoryview, at: tuple[int, int, int], events: list[Event]
    ) -> None:
        pos, start, end = at
        payload = view[start:end]
        if identity in (ebml.SIMPLE_BLOCK, ebml.BLOCK_GROUP):
            events.append(self._block(identity, view, at))
        elif identity == ebml.TIMECODE:
            if self._cluster_timecode is not None:
                raise MkvError("a cluster with two timecodes")
            self._cluster_timecode = uint_value(payload)
            raw = self._take(view[pos:end])
            events.append(ClusterStart(timecode=self._cluster_timecode, raw=raw))
        elif identity == ebml.TAGS and self._header_sent:
            values = read_tags(payload)
            events.append(Tags(values=values, raw=self._take(view[pos:end])))
        elif self._header_sent and identity != ebml.EBML:
            self._after_header(identity, payload)
            if self._in_cluster and self._cluster_timecode is None:
                self._hold(view[pos:end])
            else:
                events.append(Other(self._take(view[pos:end])))
        else:
            self._hold(view[pos:end])
            self._header_part(identity, payload, events)

    def _block(self, identity: int, view: memoryview, at: tuple[int, int, int]) -> Block:
        pos, start, end = at
        if self._cluster_timecode is None:
            raise MkvError("a block before its cluster's timecode")
        if identity == ebml.SIMPLE_BLOCK:
            parts, shift = read_block(view[start:end]), start - pos
        else:
            parts, inner = read_block_group(view[start:end])
            shift = start - pos + inner
        return Block(
            track_number=parts.track_number,
            relative_timecode=parts.relative_timecode,
            cluster_timecode=self._cluster_timecode,
            keyframe=parts.keyframe,
            raw=bytes(view[pos:end]),
            _spans=tuple((a + shift, b + shift) for a, b in parts.spans),
            _prefix=self._prefixes.get(parts.track_number, b""),
        )

    def _header_part(self, identity: int, payload: memoryview, events: list[Event]) -> None:
        if identity == ebml.EBML:
            check_ebml_header(payload)
            self._in_document = True
            self._header_sent = False
            self._timecode_scale_ns = self._tracks = None
        elif identity == ebml.INFO:
            self._timecode_scale_ns = read_timecode_scale(payload)
        elif identity == ebml.TRACKS:
            self._tracks = read_tracks(payload)
        elif identity == ebml.TAGS:
            self._early_tags.append(read_tags(payload))
        if self._tracks is not None and self._timecode_scale_ns is not None:
            self._send_header(events)

    def _after_header(self, identity: int, payload: memoryview) -> None:
        # A copy is allowed; a change in mid-document would silently garble all that follows.
        if identity == ebml.TRACKS and read_tracks(payload) != self._tracks:
            raise MkvError("tracks that change without a new EBML header")
        if identity == ebml.INFO and read_timecode_scale(payload) != self._timecode_scale_ns:
            raise MkvError("a timecode scale that changes without a new EBML header")

    def _send_header(self, events: list[Event]) -> None:
        assert self._tracks is not None
        self._timecode_scale_ns = self._timecode_scale_ns or DEFAULT_TIMECODE_SCALE_NS
        self._prefixes = {t.number: t.frame_prefix for t in self._tracks if t.frame_prefix}
        self._header_sent = True
        events.append(
            StreamHeader(
                tracks=self._tracks,
                timecode_scale_ns=self._timecode_scale_ns,
                raw=self._take(memoryview(b"")),
            )
        )
        # Tags that stood between the header's parts: their bytes are in the header's raw.
        events.extend(Tags(values=values, raw=b"") for values in self._early_tags)
        self._early_tags.clear()

    def _open(self, identity: int, end: int | None, events: list[Event]) -> None:
        if identity == ebml.SEGMENT:
            self._in_segment, self._segment_end = True, end
            return
        if not self._header_sent:
            if self._tracks is None:
                raise MkvError("a cluster before Tracks")
            self._send_header(events)  # Info is missing: the default timecode scale
        self._in_cluster, self._cluster_end, self._cluster_timecode = True, end, None

    def _end_cluster(self, events: list[Event]) -> None:
        if self._cluster_timecode is None:
            raise MkvError("a cluster without a timecode")
        self._in_cluster, self._cluster_end = False, None
        events.append(ClusterEnd())

    def _hold(self, part: memoryview) -> None:
        self._pending += part
        if len(self._pending) > MAX_HEADER_BYTES:
            raise MkvError(f"a header of more than {MAX_HEADER_BYTES} bytes")

    def _take(self, part: memoryview) -> bytes:
        raw = bytes(self._pending) + part if self._pending else bytes(part)
        self._pending.clear()
        return raw
