"""The door to the database: URLs, files, migration, crashes, absence."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamd.clock import SystemClock
from streamd.errors import ConfigError
from streamd.lifecycle import Status
from streamd.store import SchemaError, Store, StoreUnavailableError, database
from streamd.store.database import Database
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, create_processor


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "is not a database URL"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("mysql+pymysql://h/d", "needs the package pymysql|must be sqlite or postgresql"),
        ("sqlite:////proc/nothing/store.sqlite", "cannot be opened"),
    ],
)
def test_url_that_cannot_work_is_a_setting_error(url: str, problem: str) -> None:
    """The message names the key, and never the URL with its password."""
    with pytest.raises(ConfigError, match=f"'store.url'.*({problem})"):
        Store(url, clock=ManualClock())


def test_sqlite_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Vectors are biometric data: neither the database nor its log can be read by others."""
    store = Store(f"sqlite:///{tmp_path / 'sub' / 'store.sqlite'}", clock=ManualClock())
    store.migrate()
    create_processor(store, "door")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "sub").iterdir()}
    store.close()
    assert modes == {
        "store.sqlite": 0o600,
        "store.sqlite-wal": 0o600,
        "store.sqlite-shm": 0o600,
        "store.sqlite.lock": 0o600,
    }


def test_migrate_twice_and_close_twice(url: str) -> None:
    """Both may be repeated."""
    store = Store(url, clock=ManualClock())
    store.migrate()
    created = create_processor(store, "door")
    store.migrate()
    assert store.stream_processor(ACCOUNT, "door") == created
    store.ping()
    store.close()
    store.close()


def test_processes_may_migrate_at_once(url: str) -> None:
    """Three replicas that start together all find the tables."""
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_migrate, [url] * 3)
    store = Store(url, clock=ManualClock())
    create_processor(store, "door")
    store.close()


def _migrate(url: str) -> None:
    store = Store(url, clock=SystemClock())
    store.migrate()
    store.close()


def test_newer_database_is_refused(url: str) -> None:
    """A database of a later version is left alone, with a message."""
    store = Store(url, clock=ManualClock())
    store.migrate()
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaError, match="9999"):
        store.migrate()
    store.close()


def test_damaged_file_is_unavailable(tmp_path: Path) -> None:
    """A file that is no database is the store's error, which says what to do."""
    (tmp_path / "store.sqlite").write_bytes(b"garbage" * 1000)
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=ManualClock())
    with pytest.raises(StoreUnavailableError, match=r"the store is damaged .* bring a copy"):
        store.ping()
    store.close()


def test_absent_server_is_unavailable(tmp_path: Path) -> None:
    """Nobody listens: the store says so, without the URL."""
    pytest.importorskip("psycopg")
    store = Store(f"postgresql://u:secret@/d?host={tmp_path}", clock=ManualClock())
    with pytest.raises(StoreUnavailableError) as unavailable:
        store.ping()
    assert "secret" not in str(unavailable.value)
    store.close()


def test_failed_transaction_leaves_nothing(url: str) -> None:
    """All of a transaction happens, or nothing; the next one works."""
    store = Store(url, clock=ManualClock())
    store.migrate()
    database = Database(url)

    def fail() -> None:
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO tags VALUES ('arn', 'key', 'value')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM tags")) == 0
    database.close()
    store.close()


def test_reader_sees_one_moment_while_others_write(tmp_path: Path) -> None:
    """On SQLite a reader neither waits for a writer nor sees half of its work."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = Store(url, clock=ManualClock())
    store.migrate()
    database = Database(url)
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO tags VALUES ('arn', 'key', 'value')"))
        assert store.list_stream_processors(ACCOUNT, after=None, limit=1) == []
        with database.read() as other:
            assert other.scalar(sa.text("SELECT count(*) FROM tags")) == 0
    database.close()
    store.close()


def test_durable_writes_are_synced_and_others_are_not(tmp_path: Path) -> None:
    """What was promised survives a power cut (FULL = 2), leases need not (NORMAL = 1)."""
    database = Database(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with database.write() as connection:
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2
    with database.write(durable=False) as connection:
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 1
    with database.write() as connection:
        assert connection.scalar(sa.text("PRAGMA synchronous")) == 2
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
    database.close()


def test_clock_of_the_database_is_now(url: str) -> None:
    """Its seconds since 1970 are ours, give or take a second."""
    database = Database(url)
    with database.read() as connection:
        now = connection.scalar(sa.select(database.now()))
    database.close()
    assert now == pytest.approx(SystemClock().epoch(), abs=1.0)


def test_threads_write_at_once(url: str) -> None:
    """Writers of many threads queue up; none is turned away."""
    store = Store(url, clock=SystemClock())
    store.migrate()

    def work(thread: int) -> None:
        for n in range(5):
            create_processor(store, f"p-{thread}-{n}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.list_stream_processors(ACCOUNT, after=None, limit=100)) == 40
    store.close()


_WRITER = """
import sys
from streamd.clock import SystemClock
from streamd.store import Store
from tests.support.store import create_processor
store = Store(sys.argv[1], clock=SystemClock())
for n in range(1_000_000):
    create_processor(store, f"p{n}")
    print(n, flush=True)
"""


def test_kill_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    """Whatever a killed process has said is done is there, and the file works on."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store = Store(url, clock=SystemClock())
    store.migrate()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 20:
                break
        process.send_signal(signal.SIGKILL)
        promised = [20, *map(int, process.stdout.read().split())]
    kept = store.list_stream_processors(ACCOUNT, after=None, limit=1_000_000)
    assert {f"p{n}" for n in range(promised[-1] + 1)} <= {processor.name for processor in kept}
    assert {processor.status for processor in kept} == {Status.STOPPED}
    create_processor(store, "after")
    store.close()


_HOLD_THE_QUEUE = """
import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_suspended_head_of_the_queue_holds_nobody_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stops with the writers' lock costs the others a wait, in every thread."""
    monkeypatch.setattr(database, "TURN_SECONDS", 0.2)
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    store.migrate()
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_THE_QUEUE, str(tmp_path / "store.sqlite.lock")],
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            holder.send_signal(signal.SIGSTOP)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda n: create_processor(store, f"door-{n}"), range(8)))
        finally:
            holder.kill()
    assert len(store.list_stream_processors(ACCOUNT, after=None, limit=100)) == 8
    store.close()
