"""The index of archived fragments: one SQLite file, the only truth about what is archived.

A fragment exists when its row is committed; bytes in a segment file without a row are what a
kill left behind. One connection writes and one reads (WAL: neither waits for the other).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamd.gateway.archive import Place, StoredFragment, TimeOrigin
from streamd.gateway.errors import ArchiveError, IndexDamagedError

__all__ = ["FragmentIndex", "SegmentRow"]

SCHEMA_VERSION: Final = 1
LONGEST_FRAGMENT_MS: Final = 60_000
"""Longer than any fragment may be, so that a search by time has a lower end."""

_SCHEMA: Final = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    arn TEXT NOT NULL UNIQUE
);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id INTEGER NOT NULL REFERENCES streams (id)
);
CREATE TABLE fragments (
    stream_id INTEGER NOT NULL,
    number TEXT NOT NULL,
    server_ms INTEGER NOT NULL,
    server_end_ms INTEGER NOT NULL,
    producer_ms INTEGER NOT NULL,
    length_ms INTEGER NOT NULL,
    segment_id INTEGER NOT NULL REFERENCES segments (id),
    offset INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    header_offset INTEGER NOT NULL,
    header_size INTEGER NOT NULL,
    header_crc32 INTEGER NOT NULL,
    PRIMARY KEY (stream_id, number)
) WITHOUT ROWID;
CREATE INDEX fragments_by_segment ON fragments (segment_id, server_end_ms);
CREATE INDEX fragments_by_producer_time ON fragments (stream_id, producer_ms);
CREATE INDEX fragments_by_server_time ON fragments (stream_id, server_ms);
"""
_COLUMNS: Final = (
    "stream_id, number, server_ms, server_end_ms, producer_ms, length_ms, "
    "segment_id, offset, size, crc32, header_offset, header_size, header_crc32"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM fragments WHERE stream_id = ?"  # noqa: S608  # constants
_INSERT: Final = f"INSERT INTO fragments ({_COLUMNS}) VALUES ({', '.join('?' * 13)})"  # noqa: S608  # constants
_BEGINS: Final = {TimeOrigin.SERVER: "server_ms", TimeOrigin.PRODUCER: "producer_ms"}
_ENDS: Final = {
    TimeOrigin.SERVER: "server_end_ms",
    TimeOrigin.PRODUCER: "producer_ms + length_ms",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentRow:
    """A segment as the index knows it."""

    segment_id: int
    stream_id: int
    end: int
    """Offset after its last fragment; 0 when it has none."""
    newest_ms: int
    """Server time its last fragment was complete; 0 when it has none."""


class FragmentIndex:
    """Rows of fragments, segments and streams."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Open the file.

        Args:
            path: The SQLite file.
            create: Make it if it is not there; else one that holds nothing is damaged.

        Raises:
            IndexDamagedError: If it cannot be read.
            ArchiveError: If it cannot be opened, or is of another version.

        """
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        with _mapped_errors():
            self._writer = _connect(path)
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._create(path, create=create)
                self._check(path)
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise

    def _create(self, path: Path, *, create: bool) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not create:
            raise IndexDamagedError(f"{path} holds nothing")
        if version == 0:
            self._writer.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise ArchiveError(f"{path} was written by another version of streamd ({version})")

    def _check(self, path: Path) -> None:
        # Its structure, not its contents: 50 ms for the 100,000 fragments of 20 GB.
        (verdict,) = self._writer.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise IndexDamagedError(f"{path}: {verdict}")
        tables = {name for (name,) in self._writer.execute("SELECT name FROM sqlite_master")}
        if not {"streams", "segments", "fragments"} <= tables:
            raise IndexDamagedError(f"{path} lacks tables")

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    # Streams and segments.

    def stream_id(self, arn: str) -> int:
        """Return the number of a stream, made at the first call."""
        rows = self._query("SELECT id FROM streams WHERE arn = ?", (arn,))
        if not rows:
            with self._transaction(durable=False) as connection:
                connection.execute("INSERT OR IGNORE INTO streams (arn) VALUES (?)", (arn,))
            rows = self._query("SELECT id FROM streams WHERE arn = ?", (arn,))
        return int(rows[0][0])

    def stream_ids(self) -> dict[str, int]:
        """Return the numbers of all streams by ARN."""
        return dict(self._query("SELECT arn, id FROM streams"))

    def remove_stream(self, arn: str) -> tuple[int, list[int]] | None:
        """Forget a stream; returns its number and its segments, ``None`` if there is none."""
        with self._transaction(durable=True) as connection:
            row = connection.execute("SELECT id FROM streams WHERE arn = ?", (arn,)).fetchone()
            if row is None:
                return None
            segments = connection.execute(
                "SELECT id FROM segments WHERE stream_id = ?", row
            ).fetchall()
            for table in ("fragments", "segments"):
                connection.execute(f"DELETE FROM {table} WHERE stream_id = ?", row)  # noqa: S608  # constants
            connection.execute("DELETE FROM streams WHERE id = ?", row)
        return int(row[0]), [int(segment) for (segment,) in segments]

    def new_segment(self, stream_id: int) -> int:
        """Return the number of a new segment; numbers are never used twice."""
        with self._transaction(durable=False) as connection:
            cursor = connection.execute("INSERT INTO segments (stream_id) VALUES (?)", (stream_id,))
            assert cursor.lastrowid is not None, "an INSERT has a row id"
            return cursor.lastrowid

    def arn_of(self, stream_id: int) -> str | None:
        """Return the ARN of a stream; ``None`` once it is removed."""
        rows = self._query("SELECT arn FROM streams WHERE id = ?", (stream_id,))
        return str(rows[0][0]) if rows else None

    def restore_segment(self, arn: str, stream_id: int, segment_id: int) -> bool:
        """Add a segment under numbers it had before; returns whether they are free for it."""
        with self._transaction(durable=False) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO streams (id, arn) VALUES (?, ?)", (stream_id, arn)
            )
            row = connection.execute("SELECT arn FROM streams WHERE id = ?", (stream_id,))
            if row.fetchone() != (arn,):
                return False
            cursor = connection.execute(
                "INSERT OR IGNORE INTO segments (id, stream_id) VALUES (?, ?)",
                (segment_id, stream_id),
            )
            return cursor.rowcount == 1

    def restore(self, fragments: Sequence[StoredFragment]) -> None:
        """Add fragments of restored segments; a number that is there already keeps its first."""
        with self._transaction(durable=False) as connection:
            insert = _INSERT.replace("INSERT", "INSERT OR IGNORE", 1)
            connection.executemany(insert, [_row(fragment) for fragment in fragments])

    def segments(self) -> list[SegmentRow]:
        """Return all segments, oldest first."""
        rows = self._query(
            "SELECT s.id, s.stream_id, "
            "coalesce(max(max(f.offset + f.size, f.header_offset + f.header_size)), 0), "
            "coalesce(max(f.server_end_ms), 0) "
            "FROM segments s LEFT JOIN fragments f ON f.segment_id = s.id "
            "GROUP BY s.id ORDER BY s.id"
        )
        return [
            SegmentRow(segment_id=row[0], stream_id=row[1], end=row[2], newest_ms=row[3])
            for row in rows
        ]

    def remove_segments(self, segment_ids: Iterable[int]) -> int:
        """Forget segments with their fragments; returns how many fragments that were."""
        keys = [(segment_id,) for segment_id in segment_ids]
        with self._transaction(durable=True) as connection:
            count = connection.executemany("DELETE FROM fragments WHERE segment_id = ?", keys)
            connection.executemany("DELETE FROM segments WHERE id = ?", keys)
            return count.rowcount

    def segments_after(self, numbers: Mapping[int, str]) -> set[int]:
        """Return the segments that hold fragments of a stream behind a number."""
        found: set[int] = set()
        for stream_id, number in numbers.items():
            rows = self._query(
                "SELECT DISTINCT segment_id FROM fragments WHERE stream_id = ? AND number > ?",
                (stream_id, number),
            )
            found.update(int(segment_id) for (segment_id,) in rows)
        return found

    def cut_segment(self, segment_id: int, size: int) -> int:
        """Forget the fragments that lie beyond ``size``; returns how many."""
        with self._transaction(durable=True) as connection:
            return connection.execute(
                "DELETE FROM fragments WHERE segment_id = ? "
                "AND max(offset + size, header_offset + header_size) > ?",
                (segment_id, size),
            ).rowcount

    # Fragments.

    def add(self, fragments: Sequence[StoredFragment], *, durable: bool) -> None:
        """Add fragments in one transaction; those of a removed stream are left out."""
        with self._transaction(durable=durable) as connection:
            for fragment in fragments:
                known = connection.execute(
                    "SELECT 1 FROM segments WHERE id = ?", (fragment.place.segment_id,)
                ).fetchone()
                if known:
                    self._insert(connection, fragment)

    @staticmethod
    def _insert(connection: sqlite3.Connection, fragment: StoredFragment) -> None:
        connection.execute(_INSERT, _row(fragment))

    def remove(self, fragment: StoredFragment) -> None:
        """Forget one fragment."""
        with self._transaction(durable=True) as connection:
            connection.execute(
                "DELETE FROM fragments WHERE stream_id = ? AND number = ?",
                (fragment.place.stream_id, fragment.number),
            )

    def after(
        self, stream_id: int, number: str, *, before: str | None, limit: int
    ) -> list[StoredFragment]:
        """Return the fragments after a number in order, ending before another."""
        return self._fragments(
            "AND number > ? AND (? IS NULL OR number < ?) ORDER BY number LIMIT ?",
            (stream_id, number, before, before, limit),
        )

    def newest(self, stream_id: int) -> StoredFragment | None:
        """Return the fragment with the greatest number."""
        return self._first("ORDER BY number DESC LIMIT 1", (stream_id,))

    def find(self, stream_id: int, number: str) -> StoredFragment | None:
        """Return the fragment with this number."""
        return self._first("AND number = ?", (stream_id, number))

    def at(self, stream_id: int, origin: TimeOrigin, ms: int) -> StoredFragment | None:
        """Return the fragment that contains a time, else the one that begins next."""
        begins, ends = _BEGINS[origin], _ENDS[origin]
        return self._first(
            f"AND {begins} BETWEEN ? AND ? AND {ends} > ? ORDER BY {begins}, number LIMIT 1",
            (stream_id, ms - LONGEST_FRAGMENT_MS, ms, ms),
        ) or self._first(f"AND {begins} >= ? ORDER BY {begins}, number LIMIT 1", (stream_id, ms))

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
        """Return the fragments that begin within a time range, in order of number."""
        return self._fragments(
            f"AND {_BEGINS[origin]} BETWEEN ? AND ? AND number > ? ORDER BY number LIMIT ?",
            (stream_id, start_ms, end_ms, after, limit),
        )

    def _first(self, rest: str, values: tuple[Any, ...]) -> StoredFragment | None:
        return next(iter(self._fragments(rest, values)), None)

    def _fragments(self, rest: str, values: tuple[Any, ...]) -> list[StoredFragment]:
        return [_fragment(row) for row in self._query(f"{_SELECT} {rest}", values)]

    def _query(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with _mapped_errors(), self._read_lock:
            return self._reader.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with _mapped_errors(), self._write_lock:
            # FULL syncs the log at every commit; NORMAL leaves that to a checkpoint.
            self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    """Turn SQLite's errors, disk full among them, into ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise IndexDamagedError(f"the archive's index: {error}") from error
        raise ArchiveError(f"the archive's index: {error}") from error


def _row(fragment: StoredFragment) -> tuple[Any, ...]:
    place = fragment.place
    return (
        place.stream_id,
        fragment.number,
        fragment.server_ms,
        fragment.server_end_ms,
        fragment.producer_ms,
        fragment.length_ms,
        place.segment_id,
        place.offset,
        fragment.size,
        fragment.crc32,
        fragment.header_offset,
        fragment.header_size,
        fragment.header_crc32,
    )


def _fragment(row: tuple[Any, ...]) -> StoredFragment:
    return StoredFragment(
        number=row[1],
        server_ms=row[2],
        server_end_ms=row[3],
        producer_ms=row[4],
        length_ms=row[5],
        place=Place(stream_id=row[0], segment_id=row[6], offset=row[7]),
        size=row[8],
        crc32=row[9],
        header_offset=row[10],
        header_size=row[11],
        header_crc32=row[12],
    )
