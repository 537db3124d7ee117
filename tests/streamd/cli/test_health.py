"""``streamd health`` beside a real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamd.cli import app
from tests.support.daemon import free_port, running_daemon


def test_a_daemon_is_well_until_it_has_gone(tmp_path: Path) -> None:
    """0 and its answer while it serves, 1 and the reason afterwards."""
    runner = CliRunner()
    with running_daemon(tmp_path / "data", {"STREAMD_SERVER__WORKERS": "0"}) as daemon:
        listen = f"127.0.0.1:{daemon.port}"
        for option, answer in (("--ready", "ready\n"), ("--timeout=10", "ok\n")):
            result = runner.invoke(app, ["health", "--listen", listen, option])
            assert (result.exit_code, result.stdout) == (0, answer)
    result = runner.invoke(app, ["health", "--listen", listen])
    assert result.exit_code == 1
    assert "no answer from" in result.output


def test_the_variable_names_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks in a container finds the daemon where its own file says."""
    listen = f"127.0.0.1:{free_port()}"
    file = tmp_path / "streamd.toml"
    file.write_text(f'[server]\nlisten = "{listen}"\n')
    monkeypatch.setenv("STREAMD_CONFIG", str(file))
    result = CliRunner().invoke(app, ["health"])
    assert result.exit_code == 1
    assert f"no answer from {listen}: " in result.output
