"""The file of an outbox: its form, its rights, and what becomes of a damaged one."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from streamd.pipeline.errors import SessionError

__all__ = [
    "OutboxError",
    "leftover_outboxes",
    "open_outbox_file",
    "outbox_name",
    "outbox_path",
    "owner_of",
    "shrink",
    "storage_errors",
]

logger = logging.getLogger(__name__)

_SUFFIX = ".sqlite"
_ACCOUNT_SEPARATOR = "@"
_SCHEMA_VERSION = 1
_BUSY_SECONDS = 5.0
_RETRY_SECONDS = 0.01
_SHRINK_BYTES = 16 * 1024 * 1024
"""An empty outbox larger than this gives its space back."""

_SCHEMA = (
    """
    CREATE TABLE items (
        seq INTEGER PRIMARY KEY,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        target TEXT NOT NULL,
        key TEXT NOT NULL,
        content_type TEXT NOT NULL,
        attributes TEXT NOT NULL,
        body BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE fragments (
        after_seq INTEGER PRIMARY KEY,  -- the fragment is delivered once this item is
        fragment TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE owner (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        token TEXT NOT NULL,
        session_id TEXT,
        last_fragment TEXT,
        delivered_fragment TEXT,
        state BLOB
    )
    """,
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)


class OutboxError(SessionError):
    """The outbox cannot be read or written: disk full, read-only, damaged while open."""


def outbox_name(account_id: str, processor_name: str, *, own_account_id: str) -> str:
    """Return what a stream processor's outbox is called: its name, unique over all accounts.

    Args:
        account_id: The account of the stream processor.
        processor_name: Its name there.
        own_account_id: The account of the settings, which is not spelled out.

    """
    # No name of a stream processor has the separator in it.
    is_own = account_id == own_account_id
    return processor_name if is_own else f"{processor_name}{_ACCOUNT_SEPARATOR}{account_id}"


def owner_of(name: str, *, own_account_id: str) -> tuple[str, str]:
    """Return account and name of the stream processor an outbox belongs to."""
    processor_name, _, account_id = name.partition(_ACCOUNT_SEPARATOR)
    return account_id or own_account_id, processor_name


def outbox_path(directory: Path, name: str) -> Path:
    """Return the file of an outbox."""
    return directory / f"{name}{_SUFFIX}"


def leftover_outboxes(directory: Path) -> list[str]:
    """Return the names of the outboxes that hold undelivered items.

    Opens nothing for writing and takes nothing over. A file that cannot be read is listed too:
    opening it will move it aside.
    """
    names = []
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as db:
                if db.execute("SELECT 1 FROM items LIMIT 1").fetchone() is None:
                    continue
        except sqlite3.Error as error:
            logger.warning("outbox %s cannot be looked into: %s", path.name, error)
        names.append(path.name.removesuffix(_SUFFIX))
    return names


def open_outbox_file(path: Path) -> sqlite3.Connection:
    """Open the file, made if missing; a damaged one is moved aside and a new one begun.

    Raises:
        OutboxError: If another form of the file is needed than this daemon knows.
        sqlite3.Error: If it cannot be opened.

    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return _open_once(path)
    except sqlite3.OperationalError:
        # Locked, full, read-only: the file itself may be fine.
        raise
    except sqlite3.DatabaseError as error:
        _move_aside(path, error)
        return _open_once(path)


def _open_once(path: Path) -> sqlite3.Connection:
    # SQLite gives its own files beside it the same rights.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > _SCHEMA_VERSION:
        raise OutboxError(f"outbox {path.name} was written by a newer streamd (form {version})")
    if version == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _enter_wal(db)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA journal_size_limit = {_SHRINK_BYTES}")
    if version == 0:
        _create_tables(db)


def _enter_wal(db: sqlite3.Connection) -> None:
    # Two that open a new file at once are in each other's way, and SQLite's own waiting does
    # not cover this step.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _create_tables(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        # Whoever opened the file at the same time may have been first: a processor can be
        # deleted, made anew and started while its old session still prepares.
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in _SCHEMA:
                db.execute(statement)
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _move_aside(path: Path, error: sqlite3.Error) -> None:
    stamp = int(time.time())
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(f"{path.name}.damaged-{stamp}{suffix}"))
    logger.error(
        "outbox %s is damaged (%s): moved aside as %s.damaged-%d, undelivered results are in there",
        path.name,
        error,
        path.name,
        stamp,
    )


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Map what SQLite and the disk say to ours."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise OutboxError(f"outbox {path.name}: {error}") from error


def shrink(db: sqlite3.Connection) -> None:
    """Give the space of an emptied file back, where that is worth the while."""
    pages = db.execute("PRAGMA freelist_count").fetchone()[0]
    page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
    if pages * page_bytes > _SHRINK_BYTES:
        with contextlib.suppress(sqlite3.OperationalError):
            # A busy or full disk: the next time will do. (A script is run to its end; one
            # execute would free a single page.)
            db.executescript("PRAGMA incremental_vacuum")
