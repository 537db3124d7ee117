"""One process's inference: networks loaded once, jobs on a bounded pool."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.errors import ModelError
from streamd.config import ModelsSettings
from streamd.pipeline import engine as engine_module
from streamd.pipeline.engine import AnalysisEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[AnalysisEngine]:
    made = AnalysisEngine(settings=ModelsSettings(), models_dir=tmp_path, threads=2)
    yield made
    made.close()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packs that were loaded; loading takes a moment, as it does."""
    names: list[str] = []

    def load_faces(name: str, *_: Any) -> object:
        names.append(name)
        time.sleep(0.02)
        return object()

    def load_labels(name: str, *_: Any, faces: Any) -> object:
        faces()
        return load_faces(name)

    monkeypatch.setattr(engine_module, "load_face_analyzer", load_faces)
    monkeypatch.setattr(engine_module, "load_label_analyzer", load_labels)
    return names


async def test_each_network_is_loaded_once(engine: AnalysisEngine, loaded: list[str]) -> None:
    """Sessions that begin together share it, and labels from faces share the faces' one."""
    found = await asyncio.gather(*(engine.run(engine.faces) for _ in range(4)))
    assert len({id(analyzer) for analyzer in found}) == 1
    await asyncio.gather(*(engine.run(engine.labels) for _ in range(4)))
    assert len(loaded) == 2


async def test_a_pack_that_is_missing_is_tried_again(
    engine: AnalysisEngine, monkeypatch: pytest.MonkeyPatch, loaded: list[str]
) -> None:
    """Nothing of a failure stays: a pack that was pulled meanwhile is loaded."""

    def fail(*_: Any) -> Any:
        raise ModelError("missing")

    with monkeypatch.context() as broken:
        broken.setattr(engine_module, "load_face_analyzer", fail)
        with pytest.raises(ModelError):
            await engine.run(engine.faces)
    await engine.run(engine.faces)
    assert len(loaded) == 1


async def test_no_more_jobs_run_than_there_are_threads(engine: AnalysisEngine) -> None:
    """The rest waits in order of arrival."""
    together, most, lock = 0, 0, threading.Lock()

    def job(number: int) -> int:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.005)
        with lock:
            together -= 1
        return number

    results = await asyncio.gather(*(engine.run(job, number) for number in range(12)))
    assert results == list(range(12))
    assert most == 2


async def test_closing_waits_for_the_job_and_drops_the_rest(tmp_path: Path) -> None:
    """What a thread is in is finished; what has not begun never does."""
    engine = AnalysisEngine(settings=ModelsSettings(), models_dir=tmp_path, threads=1)
    begun, finished, go_on = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        go_on.wait(20)
        finished.set()

    first = asyncio.ensure_future(engine.run(job))
    second = asyncio.ensure_future(engine.run(job))
    await asyncio.to_thread(begun.wait, 20)
    closing = asyncio.create_task(asyncio.to_thread(engine.close))
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not closing.done()
    go_on.set()
    await closing
    assert finished.is_set()
    await first
