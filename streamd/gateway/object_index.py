"""The index of an archive in S3: what is known here of the objects there, and can be listed anew.

A segment is one object. Rows are made by this process for what it archives and from listings
for what others did; a row may outlive its object by a while, and an object its row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from streamd.gateway.archive import Place, StoredFragment
from streamd.gateway.errors import IndexDamagedError
from streamd.gateway.index import FragmentIndex
from streamd.gateway.rebuild import set_aside

__all__ = ["ObjectIndex", "open_object_index"]

logger = logging.getLogger(__name__)


class ObjectIndex(FragmentIndex):
    """A ``FragmentIndex`` with an object for each fragment."""

    def adopt(self, fragments: Iterable[StoredFragment]) -> int:
        """Add those whose number is not known yet, each with a new segment; returns how many."""
        count = 0
        with self._transaction(durable=False) as connection:
            for fragment in fragments:
                place = fragment.place
                known = connection.execute(
                    "SELECT 1 FROM fragments WHERE stream_id = ? AND number = ?",
                    (place.stream_id, fragment.number),
                ).fetchone()
                stream = connection.execute(
                    "SELECT 1 FROM streams WHERE id = ?", (place.stream_id,)
                ).fetchone()
                if known or not stream:
                    continue
                cursor = connection.execute(
                    "INSERT INTO segments (stream_id) VALUES (?)", (place.stream_id,)
                )
                assert cursor.lastrowid is not None, "an INSERT has a row id"
                place = replace(place, segment_id=cursor.lastrowid)
                self._insert(connection, replace(fragment, place=place))
                count += 1
        return count

    def known(self, stream_id: int, fragment: StoredFragment) -> StoredFragment:
        """Return the row of a fragment, made where there is none."""
        place = Place(stream_id=stream_id, segment_id=0, offset=fragment.place.offset)
        self.adopt([replace(fragment, place=place)])
        row = self.find(stream_id, fragment.number)
        assert row is not None, "it was adopted"
        return row

    def remove_empty(self) -> None:
        """Forget segments that never got a fragment."""
        with self._transaction(durable=False) as connection:
            connection.execute(
                "DELETE FROM segments WHERE id NOT IN (SELECT segment_id FROM fragments)"
            )

    def of(self, place: Place) -> StoredFragment | None:
        """Return the fragment whose object a place is in."""
        return self._first("AND segment_id = ?", (place.stream_id, place.segment_id))

    def ended_before(self, stream_id: int, ms: int, *, limit: int) -> list[StoredFragment]:
        """Return fragments that were complete before a server time, oldest first."""
        return self._fragments(
            "AND server_end_ms < ? ORDER BY number LIMIT ?", (stream_id, ms, limit)
        )

    def beyond_bytes(self, stream_id: int, max_bytes: int) -> list[StoredFragment]:
        """Return the oldest fragments of a stream, without which the others fit."""
        (total,) = self._query(
            "SELECT coalesce(sum(size + header_size), 0) FROM fragments WHERE stream_id = ?",
            (stream_id,),
        )[0]
        found: list[StoredFragment] = []
        after = ""
        while total > max_bytes:
            page = self.after(stream_id, after, before=None, limit=100)
            if not page:
                break
            for fragment in page:
                if total <= max_bytes:
                    break
                found.append(fragment)
                total -= fragment.size + fragment.header_size
            after = page[-1].number
        return found

    def within(self, stream_id: int, first: str, last: str) -> list[StoredFragment]:
        """Return the fragments behind one number, up to another with it."""
        return self._fragments(
            "AND number > ? AND number <= ? ORDER BY number", (stream_id, first, last)
        )

    def forget(self, fragments: Sequence[StoredFragment]) -> None:
        """Take fragments out; their objects may be there still, or again."""
        self.remove_segments(fragment.place.segment_id for fragment in fragments)

    def empty_stream(self, stream_id: int) -> None:
        """Take all fragments of a stream out; the stream stays known."""
        with self._transaction(durable=False) as connection:
            for table in ("fragments", "segments"):
                connection.execute(f"DELETE FROM {table} WHERE stream_id = ?", (stream_id,))  # noqa: S608  # constants


def open_object_index(path: Path) -> ObjectIndex:
    """Open the index; one that is damaged is set aside, for a listing makes it again.

    Raises:
        ArchiveError: If it cannot be opened, or is of another version.

    """
    try:
        return ObjectIndex(path)
    except IndexDamagedError as error:
        kept = set_aside(path)
        logger.error(  # noqa: TRY400  # the reason is in the message
            "the archive's index is damaged; it is set aside and listed anew from S3",
            extra={"error": str(error), "kept": str(kept)},
        )
        return ObjectIndex(path)
