"""The outbox: results on their way to a sink, one SQLite file for each stream processor.

Rules:

- What :meth:`Outbox.append` has returned from survives ``kill -9`` of the process at any moment.
  (WAL with ``synchronous=NORMAL``: a power failure may take the last transactions with it, never
  a part of one, and never out of order.)
- Items, the mark that a fragment is done, and the session's own state are one transaction: after
  a crash a session goes on exactly behind what it had written.
- Items leave in the order they came. What is acknowledged is deleted.
- Each item knows when it came, by the wall clock, also after a restart.
- Who opens the file owns it. A former owner, such as a worker that lost its lease and wakes up,
  can neither append nor acknowledge any more (:class:`OutboxTakenError`).
- A file that is damaged is moved aside, with an error in the log, and a new one begun.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from streamd.clock import Clock, SystemClock
from streamd.pipeline.outbox_file import (
    OutboxError,
    leftover_outboxes,
    open_outbox_file,
    outbox_path,
    shrink,
    storage_errors,
)
from streamd.records.items import OutboxItem

__all__ = [
    "Outbox",
    "OutboxError",
    "OutboxItem",
    "OutboxTakenError",
    "leftover_outboxes",
    "outbox_path",
]

_ITEM_OVERHEAD_BYTES = 200
"""Row, page share and attributes of an item, for the bound."""
_KEPT_MS = "kept_ms"
"""Among the attributes in the file; no form of the file of its own for one number."""


class OutboxTakenError(OutboxError):
    """Another process has opened the outbox: this one has lost the session."""


class Outbox:
    """Durable queue of one stream processor. Blocking and thread-safe.

    Args:
        path: The file, see :func:`outbox_path`; it and its directory are made if missing.
        max_bytes: What it may hold before :attr:`is_full`; appending still works then, so that
            what was made is kept, but callers are to wait before they make more.
        clock: Says when items came; ``None``: the machine's.

    Raises:
        OutboxError: If the file cannot be opened.

    """

    def __init__(self, path: Path, *, max_bytes: int, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._token = uuid.uuid4().hex
        self._on_append: Callable[[], None] | None = None
        with storage_errors(path):
            self._db = open_outbox_file(path)
            with self._transaction():
                self._db.execute(
                    "INSERT INTO owner (id, token) VALUES (1, ?)"
                    " ON CONFLICT (id) DO UPDATE SET token = excluded.token",
                    (self._token,),
                )
            row = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM items").fetchone()
            self._items, self._bytes = int(row[0]), int(row[1])
            self._last_seq = self._highest_seq()

    def begin(self, session_id: str) -> str | None:
        """Say which session appends from now on.

        Items of earlier sessions stay and are delivered first; fragments and state of any other
        session are forgotten.

        Returns:
            The last fragment of this session that is done, if it was here before.

        """
        with self._writing():
            self._db.execute(
                "UPDATE owner SET session_id = ?1, last_fragment = NULL,"
                " delivered_fragment = NULL, state = NULL"
                " WHERE session_id IS NOT ?1",
                (session_id,),
            )
            if self._db.execute("SELECT changes()").fetchone()[0]:
                self._db.execute("DELETE FROM fragments")
        return self.last_fragment()

    def append(
        self,
        items: Sequence[OutboxItem],
        *,
        fragment_done: str | None = None,
        state: bytes | None = None,
    ) -> None:
        """Add items, in one transaction with what they mean for the session.

        Args:
            items: In the order they are to leave.
            fragment_done: Number of a fragment all of whose results are in with these.
            state: The session's state after these; ``None`` leaves it as it is.

        Raises:
            OutboxTakenError: If another process has the outbox.
            OutboxError: If nothing could be written, for instance because the disk is full.

        """
        now_ms = int(self._clock.epoch() * 1000)
        rows = [_to_row(item, now_ms) for item in items]
        size = sum(row[0] for row in rows)
        # The lock also covers the numbers kept beside the file.
        with self._lock:
            last = self._last_seq + len(rows)
            with self._writing():
                self._db.executemany(
                    "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    ((seq, *row) for seq, row in enumerate(rows, self._last_seq + 1)),
                )
                if fragment_done is not None:
                    self._mark(fragment_done, last)
                if state is not None:
                    self._db.execute("UPDATE owner SET state = ?", (state,))
            self._last_seq = last
            self._items += len(rows)
            self._bytes += size
            listener = self._on_append
        if listener is not None:
            listener()

    def peek(
        self, limit: int, max_bytes: int, *, after_seq: int = 0
    ) -> list[tuple[int, OutboxItem]]:
        """Return the oldest items with their numbers, at least one if there is any.

        Args:
            limit: At most so many.
            max_bytes: Stop before the bodies exceed this.
            after_seq: Only items behind this one.

        """
        batch: list[tuple[int, OutboxItem]] = []
        size = 0
        with self._lock, storage_errors(self._path):
            rows = self._db.execute(
                "SELECT * FROM items WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)
            )
            for row in rows:
                size += row[1]
                if batch and size > max_bytes:
                    break
                batch.append((row[0], _to_item(row)))
            rows.close()
        return batch

    def acknowledge(self, up_to_seq: int) -> str | None:
        """Delete all items up to this number: they have arrived.

        Returns:
            The session's last fragment of which everything has arrived.

        """
        with self._lock:
            with self._writing():
                count, size = self._db.execute(
                    "SELECT count(*), coalesce(sum(size), 0) FROM items WHERE seq <= ?",
                    (up_to_seq,),
                ).fetchone()
                self._db.execute("DELETE FROM items WHERE seq <= ?", (up_to_seq,))
                self._settle_fragments(up_to_seq)
            self._note_removed(count, size)
        return self.delivered_fragment()

    def remove(self, seqs: Collection[int]) -> None:
        """Delete these items, wherever they stand: they went past those before them.

        Fragments stay undelivered until what is left of them has arrived.
        """
        with self._lock:
            count = size = 0
            with self._writing():
                for seq in seqs:
                    row = self._db.execute(
                        "DELETE FROM items WHERE seq = ? RETURNING size", (seq,)
                    ).fetchone()
                    if row is not None:
                        count, size = count + 1, size + int(row[0])
            self._note_removed(count, size)

    def _note_removed(self, count: int, size: int) -> None:
        self._items -= count
        self._bytes -= size
        self._room.notify_all()
        if self._items == 0:
            shrink(self._db)

    def last_fragment(self) -> str | None:
        """Return the session's last fragment whose results are all in."""
        return self._owner_field("last_fragment")

    def delivered_fragment(self) -> str | None:
        """Return the session's last fragment whose results have all arrived."""
        return self._owner_field("delivered_fragment")

    def state(self) -> bytes | None:
        """Return the session's state as last appended."""
        with self._lock, storage_errors(self._path):
            row = self._db.execute("SELECT state FROM owner").fetchone()
        return None if row[0] is None else bytes(row[0])

    def pending(self) -> int:
        """Return how many items wait."""
        return self._items

    @property
    def size_bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def max_bytes(self) -> int:
        """What it may hold before it is full."""
        return self._max_bytes

    @property
    def is_full(self) -> bool:
        """Whether callers are to wait before they make more."""
        return self._bytes >= self._max_bytes

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Block until the outbox is not full; return whether that is so."""
        with self._room:
            return self._room.wait_for(lambda: not self.is_full, timeout_seconds)

    def on_append(self, listener: Callable[[], None] | None) -> None:
        """Set who is told of new items; called in the thread that appended."""
        with self._lock:
            self._on_append = listener

    def close(self) -> None:
        """Close the file; what waits stays in it. May be called twice."""
        with self._lock:
            self._db.close()

    def _mark(self, fragment: str, last_seq: int) -> None:
        self._db.execute("UPDATE owner SET last_fragment = ?", (fragment,))
        self._db.execute("INSERT OR REPLACE INTO fragments VALUES (?, ?)", (last_seq, fragment))
        if self._db.execute("SELECT 1 FROM items LIMIT 1").fetchone() is None:
            # Nothing waits, and this fragment has added nothing: it has arrived already.
            self._settle_fragments(last_seq)

    def _settle_fragments(self, up_to_seq: int) -> None:
        row = self._db.execute(
            "SELECT fragment FROM fragments WHERE after_seq <= ? ORDER BY after_seq DESC LIMIT 1",
            (up_to_seq,),
        ).fetchone()
        if row is not None:
            self._db.execute("UPDATE owner SET delivered_fragment = ?", row)
            self._db.execute("DELETE FROM fragments WHERE after_seq <= ?", (up_to_seq,))

    def _highest_seq(self) -> int:
        row = self._db.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM items), 0),"
            " coalesce((SELECT max(after_seq) FROM fragments), 0))"
        ).fetchone()
        return int(row[0])

    def _owner_field(self, name: str) -> str | None:
        with self._lock, storage_errors(self._path):
            row = self._db.execute(f"SELECT {name} FROM owner").fetchone()  # noqa: S608  # our own names
        return None if row[0] is None else str(row[0])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, storage_errors(self._path), self._transaction():
            row = self._db.execute("SELECT token FROM owner").fetchone()
            if row[0] != self._token:
                raise OutboxTakenError(f"outbox {self._path.name} was opened by another process")
            yield

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # SQLite rolls back by itself on some errors, a full disk for one.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _to_row(item: OutboxItem, now_ms: int) -> tuple[int, str, str, str, str, str, bytes]:
    return (
        len(item.body) + _ITEM_OVERHEAD_BYTES,
        item.kind,
        item.target,
        item.key,
        item.content_type,
        json.dumps({**item.attributes, _KEPT_MS: now_ms}),
        item.body,
    )


def _to_item(row: Sequence[object]) -> OutboxItem:
    _, _, kind, target, key, content_type, packed, body = row
    attributes = json.loads(str(packed))
    kept_ms = attributes.pop(_KEPT_MS, None)
    return OutboxItem(
        kind=kind,  # type: ignore[arg-type]  # written from a Kind
        target=str(target),
        key=str(key),
        content_type=str(content_type),
        attributes=attributes,
        kept_ms=kept_ms,
        body=bytes(body),  # type: ignore[call-overload]  # a BLOB column
    )
