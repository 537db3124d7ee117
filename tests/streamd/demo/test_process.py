"""The demo's daemon: failures are readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.demo.errors import DemoError
from streamd.demo.process import DaemonProcess


def test_a_daemon_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    """The error holds the exit code and the end of the log."""
    daemon = DaemonProcess(tmp_path / "data", {"STREAMD_ANALYSIS__FPS": "0"})
    with pytest.raises(DemoError, match="the daemon ended with code 2") as caught:
        daemon.wait_ready()
    assert "'analysis.fps'" in str(caught.value)
    assert not daemon.is_running
    assert daemon.stop() == 2
