"""The inference of one process: each network loaded once, shared by all streams, on one pool.

The pool has as many threads as the process may use cores; jobs of many sessions queue in
order of arrival, at most one of each session, so no stream can starve another.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from processors.faces.analyzer import FaceAnalyzer
from processors.labels import LabelAnalyzer
from processors.models.packs import load_face_analyzer, load_label_analyzer
from processors.models.runtime import RuntimeOptions
from streamd.config import ModelsSettings

__all__ = ["AnalysisEngine"]

T = TypeVar("T")


class AnalysisEngine:
    """Analyzers, loaded at first use, and the threads they run on."""

    def __init__(self, *, settings: ModelsSettings, models_dir: Path, threads: int) -> None:
        self._settings = settings
        self._models_dir = models_dir
        self._options = RuntimeOptions(
            providers=settings.providers,
            batch_size=settings.batch_size,
            batch_window_seconds=settings.batch_window_ms / 1000,
        )
        self._lock = threading.Lock()
        self._faces: FaceAnalyzer | None = None
        self._labels: LabelAnalyzer | None = None
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="analysis")

    def faces(self) -> FaceAnalyzer:
        """Return the face analyzer of the configured pack (blocking at first use).

        Raises:
            ModelError: If the pack is unknown, absent or damaged.

        """
        with self._lock:
            return self._face_analyzer()

    def labels(self) -> LabelAnalyzer:
        """Return the label analyzer of the configured pack (blocking at first use).

        Raises:
            ModelError: If the pack is unknown, absent or damaged.

        """
        with self._lock:
            if self._labels is None:
                self._labels = load_label_analyzer(
                    self._settings.labels,
                    self._models_dir,
                    self._options,
                    faces=self._face_analyzer,
                )
            return self._labels

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking analysis on the pool and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def close(self) -> None:
        """End the threads after the job each one is in."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _face_analyzer(self) -> FaceAnalyzer:
        if self._faces is None:
            self._faces = load_face_analyzer(self._settings.faces, self._models_dir, self._options)
        return self._faces
