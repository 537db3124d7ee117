"""``streamd serve``: options over settings, and a metrics directory that does not stay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import typer

from streamd import daemon
from streamd.cli.serve import METRICS_ENV, serve, serve_overrides
from streamd.config import Settings


def test_options_are_settings() -> None:
    """Those that were not given leave the settings as they are."""
    assert serve_overrides(None, None) == {"server": {}, "auth": {}}
    given = serve_overrides(Path("/data"), "[::1]:1", insecure=True)
    assert given == {
        "server": {"data_dir": Path("/data"), "listen": "[::1]:1"},
        "auth": {"insecure": True},
    }


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "breaks"])
def test_the_metrics_directory_goes_with_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """It is there, and named, while the daemon runs; the exit code is the daemon's."""
    seen: list[Path] = []

    def run(settings: Settings) -> int:
        seen.append(Path(os.environ[METRICS_ENV]))
        assert seen[0].is_dir()
        assert settings.server.data_dir == tmp_path
        if fails:
            raise OSError("disk full")
        return 3

    monkeypatch.setattr(daemon, "run", run)
    monkeypatch.setattr("streamd.logs.configure", lambda *_args: None)
    monkeypatch.setenv(METRICS_ENV, "before")
    wanted: Any = pytest.raises(OSError) if fails else pytest.raises(typer.Exit)  # noqa: PT011  # one of two
    with wanted as caught:
        serve(data_dir=tmp_path, listen="127.0.0.1:0")
    assert fails or caught.value.exit_code == 3
    assert not seen[0].exists()
