"""streamd migrate: what it says, and that it is safe to run anywhere and again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamd.cli import app
from streamd.cli.migrate import migrate
from streamd.errors import ConfigError
from streamd.store import SchemaError
from streamd.store.database import newest_version
from tests.support.postgresql import ServerMissingError, running_server


def test_first_run_makes_the_tables_and_the_second_one_nothing(tmp_path: Path) -> None:
    """An empty store is migrated to the newest version, a migrated one left as it is."""
    arguments = ["migrate", "--data-dir", str(tmp_path / "data")]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert first.output == f"✓ store migrated: new → {newest_version()}\n"
    second = CliRunner().invoke(app, arguments)
    assert second.output == f"✓ store is at version {newest_version()}\n"


def test_newer_store_is_an_error(tmp_path: Path) -> None:
    """An older streamd ends with an error that names the store's version."""
    migrate(data_dir=tmp_path)
    with sqlite3.connect(tmp_path / "streamd.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="9999"):
        migrate(data_dir=tmp_path)


def test_wrong_settings_are_an_error(tmp_path: Path) -> None:
    """A settings file with an unknown key migrates nothing."""
    config = tmp_path / "streamd.toml"
    config.write_text("[store]\nurll = 'x'\n")
    with pytest.raises(ConfigError, match=r"store\.urll"):
        migrate(config=config, data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_who_may_call_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container image listens on all addresses; a Job that migrates has no keys."""
    monkeypatch.setenv("STREAMD_SERVER__LISTEN", "0.0.0.0:8700")
    done = CliRunner().invoke(app, ["migrate", "--data-dir", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output


@pytest.mark.service
def test_user_and_password_may_come_from_the_environment_of_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A URL without a user is completed by PGUSER, as the chart gives it; nothing is written here."""
    try:
        with running_server() as url:
            monkeypatch.setenv("STREAMD_STORE__URL", url.replace("streamd@", ""))
            monkeypatch.setenv("PGUSER", "streamd")
            done = CliRunner().invoke(app, ["migrate"])
            assert done.exit_code == 0, done.output
            assert done.output == f"✓ store migrated: new → {newest_version()}\n"
            assert CliRunner().invoke(app, ["migrate"]).output.startswith("✓ store is at version")
    except ServerMissingError as error:
        pytest.skip(str(error))
