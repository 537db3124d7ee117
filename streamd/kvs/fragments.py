"""GetMedia bodies: fragments and their video packets, each as soon as its last byte is there.

A body is a Matroska document per fragment. Tags before the cluster say which fragment it is,
tags after it say that it is complete (``kinesis-video`` developer guide, GetMedia). Only the
first video track is read; other tracks are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamd.kvs import tags
from streamd.kvs.ebml import CutOffError, MkvError
from streamd.kvs.mkv import (
    Block,
    ClusterStart,
    Event,
    MkvParser,
    StreamHeader,
    Tags,
    Track,
)
from streamd.kvs.numbers import is_fragment_number

__all__ = [
    "FragmentEnded",
    "FragmentEvent",
    "FragmentInfo",
    "FragmentReader",
    "FragmentStarted",
    "Packet",
    "StreamError",
]

NS_PER_MS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentInfo:
    """What is known of a fragment when its cluster begins."""

    number: str
    server_timestamp_ms: int
    """When the service began to receive it, milliseconds since 1970."""
    producer_timestamp_ms: int
    """The producer's time of its start, milliseconds since 1970; 0 where it gave none."""
    video: Track | None
    """The first video track; ``None`` where there is none, and then no packets come."""
    timecode_scale_ns: int
    cluster_timecode: int
    """In ticks of the timecode scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentStarted:
    """The cluster of a fragment begins."""

    fragment: FragmentInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Packet:
    """One encoded picture of the fragment's video track, in decoding order."""

    fragment: FragmentInfo
    offset_ns: int
    """Block time minus cluster time, exactly; below 0 for a picture shown before it."""
    keyframe: bool
    data: bytes = field(repr=False)

    @property
    def offset_ms(self) -> int:
        """The offset in milliseconds, rounded to the nearest."""
        return round(self.offset_ns / NS_PER_MS)

    @property
    def offset_seconds(self) -> float:
        """The offset in seconds."""
        return self.offset_ns / 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentEnded:
    """All of a fragment has been read."""

    fragment: FragmentInfo
    continuation_token: str | None
    """``None`` when the next fragment began without the closing tags of this one."""
    millis_behind_now: int | None
    """How far behind live the fragment is."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The producer's own tags of this fragment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamError:
    """The service reports that it cannot go on; the body ends."""

    error_id: int
    error_code: str
    fragment_number: str | None


FragmentEvent = FragmentStarted | Packet | FragmentEnded | StreamError

_EXCEPTION_CODE = "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE"  # GetMediaForFragmentList
_EXCEPTION_MESSAGE = "AWS_KINESISVIDEO_EXCEPTION_MESSAGE"
_SERVER_NAMES = (tags.SERVER_TIMESTAMP, "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP")
_PRODUCER_NAMES = (tags.PRODUCER_TIMESTAMP, "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP")


class FragmentReader:
    """Turns the bytes of one GetMedia answer into fragment events."""

    def __init__(self) -> None:
        self._parser = MkvParser()
        self._error: MkvError | None = None
        self._header: StreamHeader | None = None
        self._video: Track | None = None
        self._before: dict[str, str] = {}  # tags read since the header, before the cluster
        self._fragment: FragmentInfo | None = None
        self._after: dict[str, str] = {}  # tags read since the cluster
        # End of a fragment without closing tags, held until the next cluster begins.
        self._unclosed: FragmentEnded | None = None

    @property
    def fragment(self) -> FragmentInfo | None:
        """The fragment being read, if any."""
        return self._fragment

    def feed(self, data: bytes) -> list[FragmentEvent]:
        """Take the next bytes and return what they complete.

        Raises:
            MkvError: If the body is damaged. What came before the damage is returned first;
                the error comes with the next call.

        """
        if self._error is not None:
            raise self._error
        events: list[FragmentEvent] = []
        try:
            for event in self._parser.feed(data):
                self._handle(event, events)
        except MkvError as error:
            self._error = error
            if not events:
                raise
        return events

    def close(self) -> None:
        """Say that the body has ended.

        Raises:
            CutOffError: If it ended inside a fragment, which then has to be read again.
            MkvError: If damage was not reported yet.

        """
        if self._error is not None:
            raise self._error
        self._parser.close()
        if self._fragment is not None or self._unclosed is not None:
            raise CutOffError("the body ends inside a fragment")

    def _handle(self, event: Event, events: list[FragmentEvent]) -> None:
        match event:
            case Block():
                self._block(event, events)
            case StreamHeader():
                # Complete, if a cluster follows; an error chunk would say that it was cut off.
                self._unclosed, self._fragment = self._ended(), None
                self._header = event
                self._video = next((t for t in event.tracks if t.kind == "video"), None)
                self._before, self._after = {}, {}
            case ClusterStart():
                self._start_fragment(event, events)
            case Tags():
                self._tags(event.values, events)

    def _block(self, block: Block, events: list[FragmentEvent]) -> None:
        fragment = self._fragment
        assert fragment is not None, "the parser gives blocks in clusters only"
        if self._video is None or block.track_number != self._video.number:
            return
        offset_ns = (block.timecode - fragment.cluster_timecode) * fragment.timecode_scale_ns
        for data in block.frames:
            events.append(  # noqa: PERF401  # live media has one: no generator for it
                Packet(fragment=fragment, offset_ns=offset_ns, keyframe=block.keyframe, data=data)
            )

    def _start_fragment(self, event: ClusterStart, events: list[FragmentEvent]) -> None:
        assert self._header is not None, "the parser gives clusters after a header only"
        if self._fragment is not None and tags.FRAGMENT_NUMBER not in self._after:
            return  # a second cluster of the same fragment
        if self._fragment is not None:
            self._unclosed, self._fragment = self._ended(), None
            self._before, self._after = self._after, {}
        if self._unclosed is not None:
            events.append(self._unclosed)
            self._unclosed = None
        number = self._before.get(tags.FRAGMENT_NUMBER, "")
        if not is_fragment_number(number):
            raise MkvError(f"a cluster with the fragment number {number[:60]!r}")
        self._fragment = FragmentInfo(
            number=number,
            server_timestamp_ms=self._timestamp(_SERVER_NAMES),
            producer_timestamp_ms=self._timestamp(_PRODUCER_NAMES),
            video=self._video,
            timecode_scale_ns=self._header.timecode_scale_ns,
            cluster_timecode=event.timecode,
        )
        events.append(FragmentStarted(fragment=self._fragment))

    def _timestamp(self, names: tuple[str, ...]) -> int:
        text = next((self._before[name] for name in names if name in self._before), None)
        if text is None:
            raise MkvError(f"a cluster without the tag {names[0]}")
        try:
            return tags.parse_timestamp(text)
        except ValueError as error:
            raise MkvError(f"tag {names[0]}: {error}") from None

    def _tags(self, values: Mapping[str, str], events: list[FragmentEvent]) -> None:
        if tags.ERROR_ID in values or tags.ERROR_CODE in values or _EXCEPTION_CODE in values:
            events.append(_stream_error(values))
            self._fragment = self._unclosed = None  # what was begun will not be completed
            return
        if self._fragment is None:
            self._before.update(values)
            return
        self._after.update(values)
        if tags.CONTINUATION_TOKEN in values:
            ended = self._ended()
            assert ended is not None
            events.append(ended)
            self._fragment = None
            self._before, self._after = {}, {}

    def _ended(self) -> FragmentEnded | None:
        if self._fragment is None:
            return None
        return FragmentEnded(
            fragment=self._fragment,
            continuation_token=self._after.get(tags.CONTINUATION_TOKEN),
            millis_behind_now=_count(self._after.get(tags.MILLIS_BEHIND_NOW)),
            metadata={
                name: text
                for name, text in (self._before | self._after).items()
                if not name.startswith(tags.RESERVED_PREFIX)
            },
        )


def _count(text: str | None) -> int | None:
    return int(text) if text and len(text) < 19 and text.isascii() and text.isdigit() else None


def _stream_error(values: Mapping[str, str]) -> StreamError:
    code = values.get(tags.ERROR_CODE) or values.get(_EXCEPTION_CODE)
    return StreamError(
        error_id=_count(values.get(tags.ERROR_ID)) or 0,
        error_code=code or values.get(_EXCEPTION_MESSAGE, ""),
        fragment_number=values.get(tags.FRAGMENT_NUMBER),
    )
