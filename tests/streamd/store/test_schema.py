"""The tables as the steps of migration make them."""

from __future__ import annotations

from importlib import resources

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from streamd.resources import StartRequest
from streamd.store import Store
from streamd.store.database import newest_version
from streamd.store.schema import metadata
from tests.support.clock import ManualClock
from tests.support.store import ACCOUNT, FACE_SEARCH, create_processor


def engine_of(url: str) -> sa.Engine:
    """Return an engine past the store."""
    return sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def test_migrations_make_the_tables_of_the_schema(url: str) -> None:
    """An empty database migrated to the head differs in nothing from the schema."""
    store = Store(url, clock=ManualClock())
    store.migrate()
    store.close()
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_newest_version_is_the_head_of_the_migrations() -> None:
    """What tells that there is nothing to migrate agrees with Alembic."""
    scripts = ScriptDirectory(str(resources.files("streamd.store") / "migrations"))
    assert newest_version() == scripts.get_current_head()


def test_a_store_of_the_first_version_is_kept(url: str) -> None:
    """A collection made before there were users may have some; a session knows its stream."""
    store = Store(url, clock=ManualClock())
    store.migrate()
    create_processor(store, "door")
    store.start_session(ACCOUNT, "door", StartRequest(), limit=1)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE video_streams DROP COLUMN home")
        later = ("camera_leases", "replicas", "request_tokens", "user_faces", "users", "workers")
        for table in later:
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("ALTER TABLE collections DROP COLUMN user_count")
        for column in ("input_arn", "load", "successor"):
            connection.exec_driver_sql(f"ALTER TABLE sessions DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        connection.exec_driver_sql(
            "INSERT INTO collections (account_id, collection_id, incarnation, arn, "
            "face_model_version, created_at, revision, forgotten_revision, face_count) "
            "VALUES ('111122223333', 'people', 'i', 'a', '1.0', 0, 0, 0, 0)"
        )
    engine.dispose()
    store.migrate()
    assert store.collection("111122223333", "people").user_count == 0
    (session,) = store.spread_sessions(lease_seconds=5.0)
    assert session.input_arn == FACE_SEARCH.input_arn
    store.create_user("111122223333", "people", "ann")
    assert store.collection("111122223333", "people").user_count == 1
    store.close()


def test_migrations_are_part_of_the_package() -> None:
    """Alembic finds its scripts where the package is installed."""
    migrations = resources.files("streamd.store") / "migrations"
    assert (migrations / "env.py").is_file()
    assert (migrations / "versions" / "0001_first_tables.py").is_file()
    assert (migrations / "versions" / "0002_users.py").is_file()
