"""The door to SQLAlchemy: engines, transactions, the database's clock and its errors.

**SQLite.** Write-ahead log, so that readers never wait. The driver's own transaction control
is switched off and SQLAlchemy emits ``BEGIN``; writers begin ``IMMEDIATE``, because a reader
that turns into a writer half-way cannot wait for the lock (SQLITE_BUSY_SNAPSHOT).
A commit that the caller was promised (``durable``) is synced to disk: ``kill -9`` loses
nothing even without that, a power cut would lose the last commits. Leases and checkpoints
are renewed all the time and worthless after a reboot, so these alone skip the sync. Writers
queue on a lock file of their own, since SQLite's busy handler polls ever more slowly and is
unfair: with four processes claiming at once the slowest 1 % of claims took 133 ms and the worst
433 ms; with the queue 7 and 120 ms, and each process got its share. A turn that does not come in
time is done without: the one at the head of the queue may be suspended.

**PostgreSQL.** ``READ COMMITTED`` with row locks; counts that guard a limit are serialised
with an advisory lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamd.clock import Clock
from streamd.errors import ConfigError
from streamd.store.errors import SchemaError, StoreUnavailableError

__all__ = ["Database", "Repository", "newest_version"]

BUSY_TIMEOUT_SECONDS = 30.0
TURN_SECONDS = 5.0
"""How long a writer queues before it goes on without a turn."""
TURN_POLL_SECONDS = 0.0005
SILENCE_SECONDS = 15.0
"""How long PostgreSQL may think about a read, or about a lease."""
LONG_SILENCE_SECONDS = 60.0
"""The same for what users write: a collection of millions goes in one statement."""
POOL_SIZE = 8

_BEGIN = "streamd_begin"
# A broken assumption stays what it is, unlike a database that is away, full or damaged.
_OUR_MISTAKES = (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MIGRATION_LOCK = "streamd migration"
_MIGRATIONS = Path(__file__).parent / "migrations"
# julianday() has milliseconds; SQLite 3.42's unixepoch('subsec') is not everywhere yet.
_SQLITE_NOW = sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double)
# Not now(), which stands still from the start of a transaction that may have waited for locks.
_POSTGRESQL_NOW = sa.literal_column(
    "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)", sa.Double
)


class Database:
    """Connections and transactions of one store; safe for threads."""

    def __init__(self, url: str, *, lease_clock: Clock | None = None) -> None:
        self._url = _parse(url)
        self._lease_clock = lease_clock
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._be_patient: Callable[[sa.Connection, float | None], None] = _never_waits
        self._engine, self._queue = self._open()
        begin = {"durable": "FULL", "relaxed": "NORMAL"}
        self._writers = {
            durable: self._engine.execution_options(
                **{_BEGIN: (f"PRAGMA synchronous={begin[durable]}", "BEGIN IMMEDIATE")}
            )
            for durable in begin
        }

    def now(self) -> sa.ColumnElement[float]:
        """The database's clock in an expression, in seconds since 1970.

        Leases are compared with this alone: the clocks of machines differ.
        """
        if self._lease_clock is not None:
            return sa.literal(self._lease_clock.epoch(), sa.Double)
        return _SQLITE_NOW if self.is_sqlite else _POSTGRESQL_NOW

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Run a transaction that only reads."""
        with _mapped_errors(), self._engine.begin() as connection:
            self._be_patient(connection, SILENCE_SECONDS)
            yield connection

    @contextlib.contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """Run a transaction that writes; all of it happens, or nothing.

        Args:
            durable: Whether the commit must survive a power cut.

        """
        engine = self._writers["durable" if durable else "relaxed"]
        with _mapped_errors(), self._queue.turn(), engine.begin() as connection:
            self._be_patient(connection, LONG_SILENCE_SECONDS if durable else SILENCE_SECONDS)
            yield connection

    def serialise(self, connection: sa.Connection, what: str) -> None:
        """Let one transaction at a time past this point until it ends."""
        if not self.is_sqlite:  # SQLite has a single writer anyway
            key = sa.func.hashtextextended(what, 0)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))

    def migrate(self) -> str | None:
        """Bring the tables to this version; several processes may do so at once.

        Returns:
            The version they had, ``None`` where there were none.

        Raises:
            SchemaError: If the database is newer than this version of streamd.

        """
        with self.write() as connection:
            self._be_patient(connection, None)  # others may be at it, for as long as it takes
            self.serialise(connection, _MIGRATION_LOCK)
            before = _version(connection)
            if before != newest_version():
                _upgrade(connection)
        return before

    def close(self) -> None:
        """Close all connections; may be called twice."""
        self._engine.dispose()
        self._queue.close()

    def _open(self) -> tuple[sa.Engine, _WriterQueue]:
        if self.is_sqlite:
            return self._open_sqlite()
        # Imported where it is used: the package is there only where PostgreSQL is wanted.
        from streamd.store import postgresql  # noqa: PLC0415

        self._be_patient = postgresql.be_patient
        return postgresql.open_engine(self._url, pool_size=POOL_SIZE), _WriterQueue(None)

    def _open_sqlite(self) -> tuple[sa.Engine, _WriterQueue]:
        path = Path(self._url.database or "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Face vectors are biometric data: for this user alone. WAL files inherit the mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            queue = _WriterQueue(path.with_name(path.name + ".lock"))
        except OSError as error:
            raise ConfigError(f"'store.url': {path} cannot be opened: {error.strerror}") from error
        engine = sa.create_engine(
            self._url,
            hide_parameters=True,  # in messages: they may be vectors
            pool_size=POOL_SIZE,
            max_overflow=-1,  # threads are the bound
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine, queue


class Repository:
    """What the parts of the store share."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        """Gives the times that users read; leases go by the database's."""


class _WriterQueue:
    """Threads and processes that want to write to one SQLite file, one after the other."""

    def __init__(self, path: Path | None) -> None:
        self._threads = threading.Lock()
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        # Whoever stands first may be suspended, or hang on a dead disk. The queue is for fairness
        # only, SQLite has its own lock: after a while, go on without a turn.
        deadline = time.monotonic() + TURN_SECONDS
        if not self._threads.acquire(timeout=TURN_SECONDS):
            yield
            return
        try:
            locked = self._lock_file(deadline)
            try:
                yield
            finally:
                if locked:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _lock_file(self, deadline: float) -> bool:
        """Wait for the file's lock; returns whether it was had in time."""
        assert self._file is not None
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(TURN_POLL_SECONDS)
            else:
                return True

    def close(self) -> None:
        with self._threads:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def newest_version() -> str:
    """Return the version of the tables that this streamd makes."""
    # The files of migrations begin with their revisions, which are numbers of one length.
    newest = max(path.stem for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    return newest.partition("_")[0]


def _version(connection: sa.Connection) -> str | None:
    """Return the version of the tables as Alembic noted it, ``None`` where there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    versions = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()
    return ", ".join(sorted(versions)) or None


def _upgrade(connection: sa.Connection) -> None:
    # 10 MB that only a process which has something to migrate holds.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _escape(_MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(f"the store cannot be migrated: {error}") from error


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect().import_dbapi()
    except sa.exc.ArgumentError:
        raise ConfigError("'store.url' is not a database URL") from None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"'store.url' needs the package {error.name}: pip install 'streamd[postgres]'"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"'store.url' must be sqlite or postgresql, got {backend}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("'store.url' must name a file: several processes share the store")
    return parsed


def _escape(path: Path) -> str:
    return str(path).replace("%", "%%")  # configparser interpolates


def _configure_sqlite(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # the driver emits no BEGIN; _begin_sqlite does
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _never_waits(connection: sa.Connection, silence_seconds: float | None) -> None:
    """Do nothing: a file answers."""
    del connection, silence_seconds


def _begin_sqlite(connection: sa.Connection) -> None:
    for statement in connection.get_execution_options().get(_BEGIN, ("BEGIN",)):
        connection.exec_driver_sql(statement)


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except _OUR_MISTAKES:
        raise
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        reason = getattr(error, "orig", None) or type(error).__name__
        if isinstance(reason, sqlite3.DatabaseError) and reason.sqlite_errorcode in _DAMAGED:
            raise StoreUnavailableError(
                f"the store is damaged ({reason}): stop streamd, then bring a copy of the file "
                "back, or move it away to begin with nothing"
            ) from error
        raise StoreUnavailableError(f"the store does not answer: {reason}") from error
