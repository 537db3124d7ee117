"""Options that several commands share."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from streamd.cli import app


@pytest.mark.parametrize("command", ["serve", "doctor", "health"])
def test_all_take_the_settings_file_from_the_variable(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not there is named, so it was looked for."""
    monkeypatch.setenv("STREAMD_CONFIG", "/nonexistent/streamd.toml")
    result = CliRunner().invoke(app, [command])
    assert result.exit_code != 0
    told = result.output + str(result.exception or "")
    assert "/nonexistent/streamd.toml does not exist" in " ".join(told.split())
