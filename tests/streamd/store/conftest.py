"""One store per test, over SQLite and over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamd.clock import SystemClock
from streamd.store import Store
from streamd.store.schema import metadata
from tests.support.clock import ManualClock
from tests.support.postgresql import ServerMissingError, running_server


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    try:
        with running_server() as url:
            yield url
    except ServerMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    url: str = request.getfixturevalue("postgresql_url")
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    engine.dispose()
    return url


@pytest.fixture
def clock() -> ManualClock:
    """Decides over the leases of ``store``, too."""
    return ManualClock()


@pytest.fixture
def store(url: str, clock: ManualClock) -> Iterator[Store]:
    store = Store(url, clock=clock, lease_clock=clock)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """For what does not depend on the database; leases go by the database's clock."""
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}", clock=SystemClock())
    store.migrate()
    yield store
    store.close()
