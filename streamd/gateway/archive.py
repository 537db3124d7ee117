"""What the gateway asks of an archive of fragments; everything here blocks.

An archive stores whole fragments with the header they need to be decoded alone, hands them
out by number and by time, and forgets the oldest. :mod:`streamd.gateway.disk_archive` is the
one on a local disk, :mod:`streamd.gateway.s3_archive` the one that replicas share.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "Archive",
    "FragmentWriter",
    "Freed",
    "Place",
    "Retention",
    "StoredFragment",
    "TimeOrigin",
]


class TimeOrigin(enum.StrEnum):
    """Whose clock a time of a fragment was read from."""

    SERVER = "SERVER_TIMESTAMP"
    """When the fragment began to arrive."""
    PRODUCER = "PRODUCER_TIMESTAMP"
    """When the producer says its media began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where bytes lie."""

    stream_id: int
    segment_id: int
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFragment:
    """One archived fragment: cluster and metadata as sent, and where they lie."""

    number: str
    server_ms: int
    """When it began to arrive, milliseconds since 1970."""
    server_end_ms: int
    """When it was complete."""
    producer_ms: int
    """The producer's time of its start, milliseconds since 1970."""
    length_ms: int
    """Playing time."""
    place: Place
    size: int
    crc32: int
    header_offset: int
    """Of the document header, in the same segment."""
    header_size: int
    header_crc32: int

    @property
    def header_place(self) -> Place:
        """Where the document header lies."""
        return Place(
            stream_id=self.place.stream_id,
            segment_id=self.place.segment_id,
            offset=self.header_offset,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long the fragments of one stream are kept."""

    max_age_ms: int
    max_bytes: int | None
    durable: bool
    """False for the buffer of a stream with a retention of 0: it is never synced to disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """What a sweep took."""

    segments: int = 0
    early: int = 0
    """Segments among them that only a disk short of room has cost."""
    unread: int = 0
    """Segments among those that somebody still had to read."""


class FragmentWriter(Protocol):
    """A fragment on its way into the archive."""

    @property
    def place(self) -> Place | None:
        """Where it lies; ``None`` before the first write."""

    def write(self, header: bytes, parts: Sequence[bytes]) -> None:
        """Append; ``header`` is the document header the fragment belongs to."""

    def finish(
        self,
        *,
        number: str,
        server_ms: int,
        server_end_ms: int,
        producer_ms: int,
        length_ms: int,
        patch: tuple[int, bytes] | None,
    ) -> StoredFragment:
        """Bring it to the disk; readers find it after :meth:`Archive.commit` alone.

        ``patch`` replaces bytes at an offset: the size of a cluster that was cut short.
        """

    def abandon(self) -> None:
        """Give the fragment up; nobody will find it."""


class Archive(Protocol):
    """Fragments of all streams. Safe for threads; every method may raise ``ArchiveError``."""

    @property
    def total_bytes(self) -> int:
        """Bytes on this machine's disk."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes among them that are not yet where they shall be for good."""

    def recover(self) -> None:
        """Make good what a kill left behind; called once, before anything else."""

    def close(self) -> None:
        """Close all files; may be called twice."""

    def stream_id(self, arn: str) -> int:
        """Return the archive's own number of a stream, made at the first call."""

    def stream_arns(self) -> list[str]:
        """Return the streams that have one."""

    def remove_stream(self, arn: str) -> None:
        """Forget a stream and all its fragments."""

    def begin(self, stream_id: int, retention: Retention) -> FragmentWriter:
        """Start writing a fragment; one at a time per stream."""

    def commit(self, fragments: Sequence[StoredFragment], *, durable: bool) -> None:
        """Let readers find these; when ``durable`` a power cut takes none of them back."""

    def when_persisted(self, fragment: StoredFragment, done: Callable[[], None]) -> None:
        """Call ``done``, in any thread, once a committed fragment is where it shall be for good.

        That may be at once, or never: when the archive is closed or the stream removed before.
        """

    def refresh(self, stream_id: int, *, is_new: bool = False) -> None:
        """Learn what other processes have archived of a stream.

        Args:
            stream_id: The stream.
            is_new: Others surely have since this process last asked: then what is known here
                does not do where they cannot be asked.

        """

    def after(
        self, stream_id: int, number: str, *, before: str | None = None, limit: int
    ) -> list[StoredFragment]:
        """Return the next ones after a number in order, ending before another one."""

    def newest(self, stream_id: int) -> StoredFragment | None:
        """Return the one with the greatest number."""

    def find(self, stream_id: int, number: str) -> StoredFragment | None:
        """Return the one with this number."""

    def at(self, stream_id: int, origin: TimeOrigin, ms: int) -> StoredFragment | None:
        """Return the one that contains a time, else the next one."""

    def between(
        self,
        stream_id: int,
        origin: TimeOrigin,
        *,
        start_ms: int,
        end_ms: int,
        after: str,
        limit: int,
    ) -> list[StoredFragment]:
        """Return those that begin within a time range, in order of number, after a number."""

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` after the place, unchecked."""

    def header(self, fragment: StoredFragment) -> bytes:
        """Return the document header, checked."""

    def check(self, fragment: StoredFragment) -> bytes:
        """Compare the stored bytes with their checksum; returns the first ones of them."""

    def drop(self, fragment: StoredFragment) -> None:
        """Take a damaged fragment out of the archive."""

    def enforce(
        self,
        retention: Mapping[str, Retention],
        *,
        max_bytes: int,
        needed: Mapping[str, str] | None = None,
    ) -> Freed:
        """Free what is too old or too much, or what the disk is short of, oldest first.

        Args:
            retention: By ARN.
            max_bytes: Of all that is on this machine's disk.
            needed: By ARN, the number after which somebody still has to read; where the disk
                is short, older fragments of all streams go before these do.

        """
