"""The systemd unit: verified by systemd's own tools, and its promises kept by a real daemon."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streamd.config import ServerSettings, load_settings
from tests.support.daemon import free_port

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "streamd.service"
MAX_EXPOSURE = 1.5
"""Of 10, by systemd's own reckoning; a service without any hardening has 9.6."""
WITHOUT_NEW_CODE = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Runs a program as MemoryDenyWriteExecute= does: PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN. A kernel
older than 6.3 does not know it, and runs it without."""


def service() -> configparser.SectionProxy:
    """Return the unit's [Service]; where a key is there more than once, its last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys as they are written
    parser.read_string(UNIT.read_text())
    return parser["Service"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with a program that is there in place of streamd's."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    copy = tmp_path / "streamd.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


def test_systemd_verifies_the_unit(installed: Path) -> None:
    """It says nothing about it; a key that it does not know would be named."""
    done = analyze("verify", installed)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    installed.write_text(installed.read_text().replace("PrivateTmp=", "PrivateTmpp="))
    assert "PrivateTmpp" in analyze("verify", installed).stderr


def test_the_unit_is_hardened(installed: Path) -> None:
    """systemd calls it OK: little is left that it may do."""
    done = analyze("security", "--offline=yes", installed)
    if done.returncode != 0 and "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges no unit that is not loaded")
    exposure = re.search(r"exposure level for streamd.service: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= MAX_EXPOSURE


def test_it_waits_longer_than_a_drain() -> None:
    """Before systemd kills, streamd has had its own time and some more for its end."""
    assert float(service()["TimeoutStopSec"]) >= ServerSettings().drain_seconds * 2
    assert service()["KillMode"] == "mixed", "workers would lose their control process's orders"


def test_it_may_write_where_it_keeps_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state directory is the data directory of its settings; all else is read-only."""
    for line in UNIT.read_text().splitlines():
        if line.startswith("Environment=STREAMD_"):
            name, _, value = line.removeprefix("Environment=").partition("=")
            if name != "STREAMD_CONFIG":
                monkeypatch.setenv(name, value)
    assert str(load_settings().server.data_dir) == f"/var/lib/{service()['StateDirectory']}"
    assert service()["ProtectSystem"] == "strict"
    assert (FOLDER / "streamd.sysusers").read_text().splitlines()[-1].split()[1] == service()[
        "User"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_systemd_hears_when_it_is_ready_alive_and_ending(tmp_path: Path) -> None:
    """READY=1 when it serves, signs of life, STOPPING=1 at SIGTERM; then exit code 0.

    It runs with workers, and with memory that cannot become code, as the unit wants it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMD_", "AWS_"))}
        with (tmp_path / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-c", WITHOUT_NEW_CODE, sys.executable, "-m", "streamd", "serve"],
                env={
                    **clean,
                    "NOTIFY_SOCKET": str(tmp_path / "notify"),
                    "WATCHDOG_USEC": "3000000",
                    "STREAMD_SERVER__DATA_DIR": str(tmp_path / "data"),
                    "STREAMD_SERVER__LISTEN": f"127.0.0.1:{free_port()}",
                    "STREAMD_SERVER__WORKERS": "1",
                },
                stderr=log,
            )
        try:
            told = [manager.recv(4096).decode()]
            while not told[-1].startswith("READY=1"):
                told.append(manager.recv(4096).decode())
            assert "STATUS=serves on http://127.0.0.1:" in told[-1]
            told.append(manager.recv(4096).decode())
            assert told[-1] == "WATCHDOG=1"
            daemon.send_signal(signal.SIGTERM)
            while not told[-1].startswith("STOPPING=1"):
                told.append(manager.recv(4096).decode())
            assert daemon.wait(60) == 0, (tmp_path / "log").read_text()
        finally:
            daemon.kill()
            daemon.wait()
