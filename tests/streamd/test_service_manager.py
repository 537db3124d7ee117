"""What a service manager hears."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.service_manager import beating, notify, watchdog_seconds


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service manager, named in the environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_a_state_arrives_as_one_datagram(manager: socket.socket) -> None:
    """The manager reads what was sent, whole."""
    assert notify("READY=1\nSTATUS=serves")
    assert manager.recv(4096) == b"READY=1\nSTATUS=serves"


def test_abstract_sockets_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with @ is one without a file."""
    name = f"streamd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify("STOPPING=1")
        assert sock.recv(4096) == b"STOPPING=1"


def test_without_a_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, or an address of another kind: nobody is told."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1234")
    assert not notify("READY=1")


def test_a_manager_that_is_gone_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon goes on when the socket cannot be reached."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with caplog.at_level(logging.WARNING):
        assert not notify("READY=1\nSTATUS=serves")
    assert "cannot be told READY=1:" in caplog.text


def test_the_watchdog_is_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is in microseconds; one meant for another process, or nonsense, is none."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_seconds() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_seconds() is None
    monkeypatch.setenv("WATCHDOG_PID", "me")
    assert watchdog_seconds() is None


async def test_a_loop_that_runs_beats(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several beats within each deadline, none after the end."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    async with beating():
        for _ in range(3):
            assert await asyncio.to_thread(manager.recv, 4096) == b"WATCHDOG=1"
    manager.setblocking(False)
    while True:  # what was sent before the end
        try:
            assert manager.recv(4096) == b"WATCHDOG=1"
        except BlockingIOError:
            break
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "service-watchdog"]
