"""What a worker is told, and its share of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.config import AnalysisSettings, ServerSettings, Settings
from streamd.worker_setup import WorkerSetup, analysis_threads, worker_count


def _settings(workers: int | None, threads: int | None = None) -> Settings:
    return Settings(
        server=ServerSettings(workers=workers, data_dir=Path("/data")),
        analysis=AnalysisSettings(threads=threads),
    )


def test_setup_arrives_as_it_was_sent() -> None:
    """One line of JSON, secrets included."""
    setup = WorkerSetup(
        settings=_settings(2),
        endpoint_url="https://127.0.0.1:8700",
        access_key_id="STREAMDKEY",
        secret_access_key="secret",  # of the test
        delivers_leftovers=False,
        cameras=("door", "yard"),
        replica_id="one",
    )
    line = setup.dump()
    assert "\n" not in line
    assert WorkerSetup.parse(line) == setup


@pytest.mark.parametrize(
    ("cores", "workers", "count"),
    [(1, None, 1), (2, None, 1), (8, None, 4), (8, 3, 3), (8, 0, 0)],
    ids=str,
)
def test_one_worker_for_two_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int | None, count: int
) -> None:
    """Unless the settings say how many."""
    monkeypatch.setattr("streamd.worker_setup.usable_cores", lambda: cores)
    assert worker_count(_settings(workers)) == count


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "expected"),
    [(8, 4, None, 2), (8, 0, None, 8), (2, 4, None, 1), (8, 4, 5, 5)],
    ids=str,
)
def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int | None, expected: int
) -> None:
    """At least one thread each, together no more than there are cores."""
    monkeypatch.setattr("streamd.worker_setup.usable_cores", lambda: cores)
    assert analysis_threads(_settings(workers, threads)) == expected
