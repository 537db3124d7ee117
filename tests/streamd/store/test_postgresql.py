"""A store behind a network that swallows everything."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamd.store.database import Database
from streamd.store.errors import StoreUnavailableError
from tests.support.postgresql import ServerMissingError, running_server
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.service

MANY = 4


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """The directory of a server's socket."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running_server())
        except ServerMissingError as error:
            pytest.skip(str(error))
        yield Path(str(sa.make_url(url).query["host"]))


@pytest.fixture
def proxy(server: Path) -> Iterator[TcpProxy]:
    with tcp_proxy(server / ".s.PGSQL.5432") as it:
        yield it


@pytest.fixture
def database(proxy: TcpProxy) -> Iterator[Database]:
    database = Database(f"postgresql://streamd@127.0.0.1:{proxy.port}/postgres?sslmode=disable")
    yield database
    proxy.heal()
    database.close()


def _ask(database: Database, statement: str = "SELECT 1") -> object:
    with database.read() as connection:
        return connection.execute(sa.text(statement)).scalar()


def test_connections_of_the_pool_are_given_up(database: Database, proxy: TcpProxy) -> None:
    """A caller hears within seconds that nobody answers, and the next when somebody does."""
    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(lambda _: _ask(database, "SELECT pg_sleep(0.1)"), range(MANY)))
        proxy.cut()
        began = time.monotonic()
        for future in [pool.submit(_ask, database) for _ in range(MANY)]:
            with pytest.raises(StoreUnavailableError):
                future.result(60)
    # A ping, then a connection: 3 and 5 seconds.
    assert time.monotonic() - began < 20
    proxy.heal()
    assert _ask(database) == 1


def test_a_statement_under_way_is_given_up(
    database: Database, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost on its way: the thread does not wait for it for ever."""
    monkeypatch.setattr("streamd.store.database.SILENCE_SECONDS", 1.0)

    def ask_as_the_link_breaks() -> None:
        with database.read() as asking:
            asking.execute(sa.text("SELECT 1"))
            proxy.cut()
            asking.execute(sa.text("SELECT 2"))

    with pytest.raises(StoreUnavailableError, match="silent for 1 s"):
        ask_as_the_link_breaks()
    proxy.heal()
    assert _ask(database) == 1


def test_a_server_that_talks_is_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long in all, as reading many vectors, has no limit while bytes come."""
    monkeypatch.setattr("streamd.store.database.SILENCE_SECONDS", 1.0)
    rows = "SELECT repeat('x', 100000), pg_sleep(0.01) FROM generate_series(1, 200)"
    with database.read() as connection:
        assert len(connection.execute(sa.text(rows)).all()) == 200


def test_locks_of_a_client_that_is_gone_are_freed(database: Database, server: Path) -> None:
    """Cut off in the middle of a transaction: the server ends it, the others go on."""
    other = Database(f"postgresql://streamd@/postgres?host={server}")

    def hold_the_lock_and_fall_silent() -> None:
        with database.write() as gone:
            gone.execute(sa.text("LOCK TABLE held"))
            with other.write() as connection:
                connection.execute(sa.text("INSERT INTO held VALUES (1)"))
            gone.execute(sa.text("SELECT 1"))

    try:
        with other.write() as connection:
            connection.execute(sa.text("CREATE TABLE held (n integer)"))
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            hold_the_lock_and_fall_silent()
        assert time.monotonic() - began < 30
        assert _ask(other, "SELECT count(*) FROM held") == 1
    finally:
        other.close()
