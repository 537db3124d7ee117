"""A PutMedia body cut into fragments, under the rules of PutMedia. Pure.

A fragment is a Cluster and the Tags after it. It ends where the next Cluster begins, at the
tag ``AWS_KINESISVIDEO_END_OF_FRAGMENT``, at a new document, and with the session.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streamd.gateway.errors import MediaFaultError
from streamd.kvs import mkv_edit, mkv_write
from streamd.kvs.acks import ErrorCode
from streamd.kvs.mkv import (
    MAX_HEADER_BYTES,
    Block,
    ClusterStart,
    CutOffError,
    Event,
    MkvError,
    MkvParser,
    Other,
    StreamHeader,
    Tags,
)
from streamd.kvs.tags import END_OF_FRAGMENT, RESERVED_PREFIX

__all__ = ["Closed", "Fragmenter", "Opened", "Part", "Step"]

# "Kinesis Video Streams service quotas" and the ERROR codes of PutMedia.
MAX_FRAGMENT_BYTES: Final = 50 * 1024 * 1024
MAX_FRAGMENT_MS: Final = 20_000
MAX_TRACKS: Final = 3
MAX_METADATA: Final = 10
MAX_METADATA_NAME_BYTES: Final = 128
MAX_METADATA_VALUE_BYTES: Final = 256
MAX_TIMECODE_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, the end of what timestamps can say."""

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A fragment begins."""

    header: bytes
    """EBML header to Tracks and what follows them, with a Segment of unknown size."""
    timecode_ms: int
    """As the producer sent it; what acknowledgements carry."""
    producer_ms: int
    """The producer's time, milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the open fragment: the beginning of its cluster, a block, its tags."""

    raw: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """The open fragment is complete."""

    length_ms: int
    is_cut: bool = False
    """It has no end of its own: the whole blocks that arrived are all there is."""
    patch: tuple[int, bytes] | None = None
    """Set when it was cut short and said its size: the bytes that make that size unknown."""


Step = Opened | Part | Closed


class _OpenFragment:
    """What has to be known of a fragment until its end."""

    def __init__(self, start: ClusterStart, header: StreamHeader) -> None:
        self.start = start.raw
        self.scale_ns = header.timecode_scale_ns
        self.size = 0
        self.metadata = 0
        self.earliest = self.latest = start.timecode
        self.counts = {track.number: 0 for track in header.tracks}
        self.paced_by = next(
            (track.number for track in header.tracks if track.kind == "video"),
            header.tracks[0].number,
        )

    @property
    def length_ms(self) -> int:
        """Playing time: to the last picture's time and, as a guess, its own duration."""
        count = self.counts[self.paced_by]
        span = (self.latest - self.earliest) * self.scale_ns / _NS_PER_MS
        return max(1, round(span * count / (count - 1) if count > 1 else span))


class Fragmenter:
    """Turns the chunks of one upload into steps; one per connection."""

    def __init__(
        self, *, origin_ms: int, max_fragment_ms: int = MAX_FRAGMENT_MS, min_fragment_ms: int = 0
    ) -> None:
        """Start an upload.

        Args:
            origin_ms: What timecodes are relative to: 0 for ABSOLUTE ones.
            max_fragment_ms: From the earliest to the latest frame of a fragment.
            min_fragment_ms: Of a fragment that another one follows at once.

        """
        self._origin_ms = origin_ms
        self._max_fragment_ms = max_fragment_ms
        self._min_fragment_ms = min_fragment_ms
        self._parser = MkvParser()
        self._header: StreamHeader | None = None
        self._header_raw = b""
        self._header_open = False  # until the document's first cluster
        self._header_metadata = 0
        self._early_own: dict[str, str] = {}
        self._early_mixed = False
        self._open: _OpenFragment | None = None
        self._in_cluster = False
        self._last_ms: int | None = None
        self.fragments = 0
        """How many have begun."""

    def feed(self, data: bytes) -> Iterator[Step]:
        """Take the next bytes and yield what they complete.

        Raises:
            MediaFaultError: If they break a rule; the open fragment, if any, is void.

        """
        try:
            for event in self._parser.feed(data):
                if isinstance(event, Block):
                    self._count(event)
                    yield self._part(event.raw)
                else:
                    yield from self._take(event)
            # Damage behind those events is reported by the next call alone: not to wait for it.
            self._parser.feed(b"")
        except MkvError as error:
            raise MediaFaultError(ErrorCode.INVALID_MKV_DATA, str(error)) from error

    def end(self, *, cut: bool) -> Iterator[Step]:
        """Say that no more bytes come.

        Args:
            cut: The connection broke or was ended by us. The whole blocks that arrived are
                kept as a fragment, even if it lacks what a whole one must have.

        Raises:
            MediaFaultError: After the last step, if the body ended where it must not.

        """
        fault: MediaFaultError | None = None
        try:
            self._parser.close()
        except CutOffError as error:
            # An end in the middle is no damage: what arrived whole is whole.
            cut, fault = True, MediaFaultError(ErrorCode.INVALID_MKV_DATA, str(error))
        except MkvError as error:
            raise MediaFaultError(ErrorCode.INVALID_MKV_DATA, str(error)) from error
        yield from self._close(cut=cut)
        if not self.fragments:
            fault = fault or MediaFaultError(ErrorCode.INVALID_MKV_DATA, "no fragment was sent")
        if fault is not None:
            raise fault

    def _take(self, event: Event) -> Iterator[Step]:
        match event:
            case ClusterStart():
                yield from self._begin(event)
            case Tags():
                yield from self._tags(event)
            case StreamHeader():
                yield from self._close(cut=False)
                self._new_document(event)
            case Other():
                yield from self._other(event)
            case _:
                self._in_cluster = False

    def _new_document(self, header: StreamHeader) -> None:
        if len(header.tracks) > MAX_TRACKS:
            raise MediaFaultError(
                ErrorCode.MORE_THAN_ALLOWED_TRACKS_FOUND,
                f"{len(header.tracks)} tracks, {MAX_TRACKS} are the most",
            )
        self._header, self._header_raw = header, mkv_edit.with_unknown_size(header.raw)
        self._header_open, self._header_metadata = True, 0
        self._early_own, self._early_mixed = {}, False

    def _begin(self, start: ClusterStart) -> Iterator[Step]:
        if self._open is not None and self._open.length_ms < self._min_fragment_ms:
            raise MediaFaultError(
                ErrorCode.MIN_FRAGMENT_DURATION_REACHED,
                f"a fragment of {self._open.length_ms} ms, {self._min_fragment_ms} are the least",
            )
        yield from self._close(cut=False)
        assert self._header is not None, "the parser gives clusters after a header only"
        timecode_ms = start.timecode * self._header.timecode_scale_ns // _NS_PER_MS
        producer_ms = self._origin_ms + timecode_ms
        if producer_ms > MAX_TIMECODE_MS:
            raise MediaFaultError(
                ErrorCode.INVALID_PRODUCER_TIMESTAMP, f"a timecode of {timecode_ms} ms"
            )
        if self._last_ms is not None and timecode_ms < self._last_ms:
            # Clusters are compared, not their blocks: with B-frames or sound beside video
            # the last block of one may well lie after the first of the next.
            raise MediaFaultError(
                ErrorCode.FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS,
                f"{timecode_ms} ms after {self._last_ms} ms",
            )
        self._last_ms = timecode_ms
        self._open, self._in_cluster = _OpenFragment(start, self._header), True
        self._header_open = False
        self.fragments += 1
        yield Opened(header=self._header_raw, timecode_ms=timecode_ms, producer_ms=producer_ms)
        yield self._part(start.raw)

    def _count(self, block: Block) -> None:
        fragment = self._open
        assert fragment is not None, "the parser gives blocks in clusters only"
        if block.track_number not in fragment.counts:
            raise MediaFaultError(
                ErrorCode.TRACK_NUMBER_MISMATCH, f"a block of track {block.track_number}"
            )
        fragment.counts[block.track_number] += 1
        timecode = block.timecode
        fragment.earliest = min(fragment.earliest, timecode)
        fragment.latest = max(fragment.latest, timecode)
        span_ms = (fragment.latest - fragment.earliest) * fragment.scale_ns // _NS_PER_MS
        if span_ms > self._max_fragment_ms:
            raise MediaFaultError(
                ErrorCode.MAX_FRAGMENT_DURATION_REACHED, f"a fragment of {span_ms} ms"
            )

    def _part(self, raw: bytes) -> Part:
        assert self._open is not None, "parts belong to an open fragment"
        self._open.size += len(raw)
        if self._open.size > MAX_FRAGMENT_BYTES:
            raise MediaFaultError(
                ErrorCode.MAX_FRAGMENT_SIZE_REACHED, f"more than {MAX_FRAGMENT_BYTES} bytes"
            )
        return Part(raw)

    def _other(self, event: Other) -> Iterator[Step]:
        if self._in_cluster:
            yield self._part(event.raw)
        elif self._header_open:
            self._extend_header(event.raw)
        # Between clusters stand Cues and the like; they are of no use to a consumer.

    def _tags(self, event: Tags) -> Iterator[Step]:
        own = {
            name: text
            for name, text in event.values.items()
            if not name.startswith(RESERVED_PREFIX)
        }
        # Names of the service must not come back as the producer's.
        raw = event.raw if len(own) == len(event.values) else mkv_write.tags(own) if own else b""
        if self._open is not None:
            self._open.metadata = _checked_metadata(self._open.metadata, own)
            if raw:
                yield self._part(raw)
            if END_OF_FRAGMENT in event.values:
                yield from self._close(cut=False)
        elif self._header_open:
            self._header_metadata = _checked_metadata(self._header_metadata, own)
            if event.raw:
                self._extend_header(raw)
            else:
                self._early_tags(own, is_mixed=len(own) != len(event.values))

    def _early_tags(self, own: dict[str, str], *, is_mixed: bool) -> None:
        """Take tags that stand between the header's parts: their bytes are in it already."""
        self._early_own |= own
        self._early_mixed = self._early_mixed or is_mixed
        if self._early_mixed:  # with names of the service
            self._header_raw = mkv_edit.without_tags(self._header_raw)
            self._extend_header(mkv_write.tags(self._early_own) if self._early_own else b"")

    def _extend_header(self, raw: bytes) -> None:
        self._header_raw += raw
        if len(self._header_raw) > MAX_HEADER_BYTES:
            raise MediaFaultError(
                ErrorCode.INVALID_MKV_DATA, f"a header of more than {MAX_HEADER_BYTES} bytes"
            )

    def _close(self, *, cut: bool) -> Iterator[Step]:
        fragment, self._open = self._open, None
        if fragment is None:
            return
        missing = [number for number, count in fragment.counts.items() if not count]
        if missing and not (cut and any(fragment.counts.values())):
            raise MediaFaultError(
                ErrorCode.FRAMES_MISSING_FOR_TRACK, f"no frame of tracks {missing}"
            )
        patch = mkv_edit.unsized_cluster_patch(fragment.start) if cut and self._in_cluster else None
        self._in_cluster = False
        yield Closed(length_ms=fragment.length_ms, is_cut=cut, patch=patch)


def _checked_metadata(count: int, values: dict[str, str]) -> int:
    count += len(values)
    if count > MAX_METADATA:
        raise MediaFaultError(
            ErrorCode.FRAGMENT_METADATA_LIMIT_REACHED, f"more than {MAX_METADATA} tags"
        )
    for name, text in values.items():
        if (
            len(name.encode()) > MAX_METADATA_NAME_BYTES
            or len(text.encode()) > MAX_METADATA_VALUE_BYTES
        ):
            raise MediaFaultError(
                ErrorCode.FRAGMENT_METADATA_LIMIT_REACHED, f"tag {name[:40]!r} is too long"
            )
    return count
