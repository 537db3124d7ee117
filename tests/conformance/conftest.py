"""One live daemon for a module, its connection for raw requests, its database to look into."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.wire import Wire

_SETTINGS = {
    "STREAMD_SERVER__WORKERS": "1",
    "STREAMD_KINESIS_VIDEO__IDLE_SECONDS": "0.2",
    "STREAMD_ANALYSIS__SESSION_IDLE_SECONDS": "0.5",
}
_WATCHED = ("stream_processors", "sessions", "collections", "faces", "tags", "video_streams")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with default settings but for time, shared by the tests of a module."""
    data_dir = tmp_path_factory.mktemp("conformance") / "data"
    with running_daemon(data_dir, _SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def wire(daemon: Daemon) -> Iterator[Wire]:
    """A connection for raw requests."""
    with closing(Wire(daemon.port)) as connection:
        yield connection


@pytest.fixture(scope="module")
def database(daemon: Daemon) -> Iterator[sqlite3.Connection]:
    """The daemon's own database: to see that nothing changed, and to hold a status."""
    path = daemon.data_dir / "streamd.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        yield connection


@pytest.fixture(scope="module")
def contents(database: sqlite3.Connection) -> Callable[[], object]:
    """All that clients can change, as one value."""

    def read() -> object:
        return [
            database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608  # our own names
            for table in _WATCHED
        ]

    return read
