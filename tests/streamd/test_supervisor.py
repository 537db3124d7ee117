"""Worker processes that live, die, hang and cannot be started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamd import supervisor as supervisor_module
from streamd.metrics import Metrics
from streamd.supervisor import WorkerSupervisor

# A worker that says its name and first line, beats while it may, and ends with its input.
LIVES = """
import os, sys, threading, time
name, pulse = sys.argv[1], int(sys.argv[2])
line = sys.stdin.readline().strip()
with open(os.environ["NOTES"], "a") as notes:
    notes.write(f"{os.getpid()} {name} {line}\\n")
def beat():
    while True:
        os.write(pulse, b".")
        time.sleep(0.05)
threading.Thread(target=beat, daemon=True).start()
while sys.stdin.readline():
    pass
"""
DIES = "import sys; sys.exit(3)"

Make = Callable[..., WorkerSupervisor]


class Notes:
    """What workers wrote down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.dead: list[str] = []

    @property
    def lines(self) -> list[list[str]]:
        """Process id, name and settings of each worker that began."""
        if not self._path.exists():
            return []
        return [line.split() for line in self._path.read_text().splitlines()]

    async def bury(self, name: str) -> None:
        """Note a dead worker's name."""
        self.dead.append(name)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return Notes(tmp_path / "notes")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
async def make(notes: Notes, metrics: Metrics) -> AsyncIterator[Make]:
    """Makes supervisors and closes them."""
    made: list[WorkerSupervisor] = []

    def build(program: str, *, workers: int = 1, **more: Any) -> WorkerSupervisor:
        lines = [f"settings-{index}" for index in range(workers)]
        command = (sys.executable, "-c", program)
        made.append(
            WorkerSupervisor(
                setup_lines=lines, metrics=metrics, on_dead=notes.bury, command=command, **more
            )
        )
        return made[-1]

    yield build
    for each in made:
        await each.aclose(drain_seconds=5)


async def _until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # other processes set no event
            await asyncio.sleep(0.02)


async def test_worker_gets_its_line_and_a_name_of_its_own(make: Make, notes: Notes) -> None:
    """Each process is told apart from every other there ever was."""
    supervisor = make(LIVES, workers=2)
    await supervisor.start()
    await _until(lambda: len(notes.lines) == 2)
    assert sorted(line for _, _, line in notes.lines) == ["settings-0", "settings-1"]
    assert len({name for _, name, _ in notes.lines}) == 2
    assert {int(pid) for pid, _, _ in notes.lines} == set(supervisor.pids)
    assert supervisor.trouble() is None


async def test_killed_worker_is_buried_by_name_and_replaced(
    make: Make, notes: Notes, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever keeps the claims learns the name before the next worker starts."""
    supervisor = make(LIVES)
    await supervisor.start()
    await _until(lambda: notes.lines)
    os.kill(supervisor.pids[0], signal.SIGKILL)
    await _until(lambda: len(notes.lines) == 2)
    assert notes.dead == [notes.lines[0][1]]
    assert notes.lines[1][1] not in notes.dead
    assert "worker was killed by SIGKILL after" in caplog.text
    assert metrics.registry.get_sample_value("streamd_worker_restarts_total") == 1
    assert metrics.registry.get_sample_value("streamd_workers") == 1


async def test_drained_worker_is_not_buried(make: Make, notes: Notes) -> None:
    """A worker that ends with its input gave its sessions back itself."""
    supervisor = make(LIVES)
    await supervisor.start()
    await _until(lambda: notes.lines)
    await supervisor.aclose(drain_seconds=5)
    assert (notes.dead, supervisor.pids) == ([], ())


async def test_worker_that_does_not_drain_is_killed_and_buried(make: Make, notes: Notes) -> None:
    """Shutting down takes the drain time, not for ever."""
    supervisor = make(LIVES + "\ntime.sleep(60)")
    await supervisor.start()
    await _until(lambda: notes.lines)
    await supervisor.aclose(drain_seconds=0.2)
    assert notes.dead == [notes.lines[0][1]]


async def test_worker_that_dies_at_every_start_does_not_spin(
    make: Make, notes: Notes, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """The pauses grow, and what is wrong can be seen; one good worker would be enough."""
    supervisor = make(DIES)
    await supervisor.start()
    assert supervisor.trouble() is None
    await _until(supervisor.trouble)
    assert supervisor.trouble() == (
        "no worker stays alive: the last one ended with exit code 3; see the log"
    )
    assert metrics.registry.get_sample_value("streamd_workers") == 0
    delays = [
        float(str(record.args[2]))
        for record in caplog.records
        if record.levelno == logging.ERROR and isinstance(record.args, tuple)
    ]
    assert delays == sorted(delays)
    assert len(delays) == len(notes.dead) == 3


async def test_a_worker_that_stays_ends_the_trouble(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once a process has lived a while, sessions can run again."""
    monkeypatch.setattr(supervisor_module, "SETTLED_SECONDS", 0.3)
    flag = tmp_path / "broken"
    flag.touch()
    supervisor = make(f"import os, sys\nif os.path.exists({str(flag)!r}): sys.exit(1)\n" + LIVES)
    await supervisor.start()
    await _until(supervisor.trouble)
    flag.unlink()
    await _until(lambda: supervisor.trouble() is None)


async def test_suspended_worker_is_killed_after_a_while(
    make: Make, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    """A process without a pulse may hold a lock that all others wait for."""
    supervisor = make(LIVES, silent_seconds=0.5)
    await supervisor.start()
    await _until(lambda: notes.lines)
    os.kill(supervisor.pids[0], signal.SIGSTOP)
    await _until(lambda: len(notes.lines) == 2)
    assert "worker gave no sign of life" in caplog.text
    assert notes.dead == [notes.lines[0][1]]


async def test_lack_of_descriptors_is_waited_out(make: Make, notes: Notes) -> None:
    """A worker that cannot be started is tried again, and the reason is told."""
    supervisor = make(LIVES)
    with _no_descriptors_left():
        await supervisor.start()
        await _until(supervisor.trouble)
        assert "cannot be started (Too many open files)" in str(supervisor.trouble())
    await _until(lambda: notes.lines)


@contextlib.contextmanager
def _no_descriptors_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
    fillers: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            fillers.append(os.dup(0))
    try:
        yield
    finally:
        for each in fillers:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
