"""Values of metrics in files that the control process reads; what is gone can be forgotten.

``prometheus_client`` has a multi-process mode of its own: every process keeps its values in
memory-mapped files, and whoever renders adds them up. It never lets go of a label set (its
issues 720 and 916), nor of the files of a process that has ended, so a daemon in which stream
processors come and go would grow without end. :class:`FileValue` is that mode's value on the
same files, with a way to forget; :func:`fold` puts what dead processes counted into one file.
"""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from prometheus_client import disable_created_metrics, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

__all__ = ["FOLDING", "MULTIPROC_ENV", "FileValue", "fold", "forget", "forget_ended", "install"]

MULTIPROC_ENV = "PROMETHEUS_MULTIPROC_DIR"
FOLDING = threading.Lock()
"""Held while files are put together, and by who reads them: nothing is counted twice or not at all.

A counter that falls is a restart to Prometheus.
"""
_ENDED = "ended"
"""Stands in a file's name for the processes that have ended."""


class FileValue:
    """One sample of this process, in the place of ``prometheus_client.values.ValueClass``."""

    _multiprocess: ClassVar[bool] = True
    # One lock for all: metrics are touched a few hundred times a second.
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _files: ClassVar[dict[Path, Any]] = {}

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: object,
    ) -> None:
        kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        self._path = Path(os.environ[MULTIPROC_ENV]) / f"{kind}_{os.getpid()}.db"
        self._key = mmap_key(metric_name, name, list(labelnames), list(labelvalues), help_text)
        with self._lock:
            self._value = float(self._file().read_value(self._key)[0])

    def inc(self, amount: float) -> None:
        """Add to the value."""
        with self._lock:
            self._value += amount
            self._file().write_value(self._key, self._value, 0.0)

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Replace the value; the time decides between processes."""
        with self._lock:
            self._value = value
            self._file().write_value(self._key, value, timestamp or 0.0)

    def get(self) -> float:
        """Return the value, of this process alone."""
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Drop it: the files have no room for exemplars."""

    def get_exemplar(self) -> None:
        """Have none."""

    def _file(self) -> Any:
        # Looked up each time: forgetting puts another file in its place.
        file = self._files.get(self._path)
        if file is None:
            file = self._files[self._path] = MmapedDict(str(self._path))  # type: ignore[no-untyped-call]  # the library has no types here
        return file

    @classmethod
    def forget(cls, label: str, present: Collection[str]) -> None:
        """Leave out of this process's files what belongs to resources that are not present."""
        with cls._lock:
            for path, file in list(cls._files.items()):
                samples = list(file.read_all_values())
                kept = [sample for sample in samples if _is_kept(sample[0], label, present)]
                if len(kept) < len(samples):
                    cls._files[path] = _written(path, kept)
                    file.close()


def install() -> None:
    """Use :class:`FileValue` for the metrics made from now on, if in multi-process mode."""
    values.ValueClass = FileValue if MULTIPROC_ENV in os.environ else values.MutexValue
    # Series nobody asks for; the multi-process mode has none.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
    # True of the library's own values only.
    warnings.filterwarnings("ignore", "Removal of labels has not been implemented")


def forget(label: str, present: Collection[str]) -> None:
    """Forget what this process's files hold of resources that are gone.

    Args:
        label: Names the resource in a metric's labels.
        present: The values of that label that are kept.

    """
    if MULTIPROC_ENV in os.environ:
        FileValue.forget(label, present)


def forget_ended(label: str, present: Collection[str]) -> None:
    """Forget the same in the files of dead processes; for the control process alone."""
    if MULTIPROC_ENV not in os.environ:
        return
    with FOLDING:
        for path in Path(os.environ[MULTIPROC_ENV]).glob(f"*_{_ENDED}.db"):
            samples = _samples(path)
            kept = {k: v for k, v in samples.items() if _is_kept(k, label, present)}
            if len(kept) < len(samples):
                _written(path, [(key, value, 0.0) for key, value in kept.items()]).close()


def fold(pid: int) -> None:
    """Put what a dead process counted into the file of all that have ended, and remove its files.

    Its gauges told of that process, and go. Blocking; nothing happens in a single process.
    """
    directory = Path(os.environ.get(MULTIPROC_ENV, ""))
    if MULTIPROC_ENV not in os.environ or not directory.is_dir():
        return
    with FOLDING:
        for path in directory.glob(f"gauge_*_{pid}.db"):
            path.unlink(missing_ok=True)
        for kind in ("counter", "histogram"):
            path, target = directory / f"{kind}_{pid}.db", directory / f"{kind}_{_ENDED}.db"
            if path.exists():
                sums = Counter(_samples(target))
                sums.update(_samples(path))
                _written(target, [(key, value, 0.0) for key, value in sums.items()]).close()
                path.unlink()


def _samples(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    read = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # the library has no types here
    return {key: value for key, value, *_ in read}


def _is_kept(key: str, label: str, present: Collection[str]) -> bool:
    labels = json.loads(key)[2]
    return label not in labels or labels[label] in present


def _written(path: Path, samples: Iterable[tuple[str, float, float]]) -> Any:
    """Write a file aside and put it in place, so that readers find the old one or the new one."""
    aside = path.with_name(f"{path.name}.new")
    file: Any = MmapedDict(str(aside))  # type: ignore[no-untyped-call]  # the library has no types here
    for key, value, timestamp in samples:
        file.write_value(key, value, timestamp)
    aside.replace(path)
    return file
