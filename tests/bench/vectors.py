"""Face search beside numpy and faiss's flat index: milliseconds of one core for a query.

Enrolled faces are made up: unit vectors whose variance falls off over rotated axes, faster than
that of real embeddings (a quarter of the axes holds 0.83 of it, with real ones 0.3 to 0.6); probes are enrolled faces at a cosine of 0.45 to 0.75. All rows are measured
in one run, turn by turn, in CPU time, which is that of one core.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from processors.faces.index import FaceIndex

__all__ = ["Faces", "VectorRow", "main", "measure"]

Floats = NDArray[np.float32]
Answers = NDArray[np.intp]
# Of 512 axes 143 count (participation ratio of the variances).
_DECAY = 0.28
_PROBES = 64
_BATCH = 16
_AT_ONCE = 65_536


@dataclass(frozen=True)
class VectorRow:
    """What one way of searching costs in a collection of one size."""

    faces: int
    dim: int
    row: str
    single_ms: float
    """A query by itself."""
    batch_ms: float
    """A query in batches of 16."""
    recall_at_1: float
    load_seconds: float
    """CPU time from the file to the first answer, or to make the index."""
    add_ms: float | None
    """Wall time to make one more face findable; ``None`` where not measured."""
    bytes_per_face: float
    """Memory held beside the file of vectors."""


class Faces:
    """Enrolled faces in a file that is mapped, and probes of some of them."""

    def __init__(self, count: int, dim: int, folder: Path, *, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._spectrum = np.exp(-np.arange(dim) / (dim * _DECAY)).astype(np.float32)
        rotation, _ = np.linalg.qr(self._random.standard_normal((dim, dim)))
        self._rotation = rotation.astype(np.float32)
        path = folder / f"{count}.vectors"
        with path.open("wb") as file:
            for start in range(0, count, _AT_ONCE):
                self._unit(min(_AT_ONCE, count - start)).tofile(file)
        mapped = np.memmap(path, np.float32, "r", shape=(count, dim))
        self.vectors: Floats = mapped.view(np.ndarray)
        self.identities = self._random.integers(0, count, _PROBES)
        cosines = self._random.uniform(0.45, 0.75, (_PROBES, 1)).astype(np.float32)
        enrolled = self.vectors[self.identities]
        other = self._unit(_PROBES)
        other -= (other * enrolled).sum(axis=1, keepdims=True) * enrolled
        length = np.linalg.norm(other, axis=1, keepdims=True)
        probes = cosines * enrolled + np.sqrt(1 - cosines**2) * other / length
        self.probes: Floats = probes.astype(np.float32)

    def _unit(self, count: int) -> Floats:
        dim = len(self._spectrum)
        made = self._random.standard_normal((count, dim), dtype=np.float32)
        turned = (made * self._spectrum) @ self._rotation
        unit: Floats = turned / np.linalg.norm(turned, axis=1, keepdims=True)
        return unit


class _Streamd:
    name = "streamd"

    def __init__(self, vectors: Floats) -> None:
        self.index = FaceIndex(vectors)

    def nearest(self, queries: Floats) -> Answers:
        found = self.index.search(queries, limit=1, max_distance=float("inf"))
        return np.array([own[0][0] for own in found])

    def add_one(self, vectors: Floats) -> float | None:
        fewer = FaceIndex(vectors[:-1])
        start = time.perf_counter()
        FaceIndex(vectors, fewer)
        return time.perf_counter() - start

    def bytes_held(self) -> int:
        return self.index.size_bytes


class _Numpy:
    """Block-wise float32 products over the mapped file, as the index without codes."""

    name = "numpy"

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._squares = np.concatenate(
            [np.einsum("ij,ij->i", block, block) for block in _blocks(vectors)]
        )

    def nearest(self, queries: Floats) -> Answers:
        best = np.full(len(queries), np.inf, dtype=np.float32)
        rows = np.zeros(len(queries), dtype=np.intp)
        start = 0
        for block in _blocks(self._vectors):
            stop = start + len(block)
            distances = self._squares[start:stop, None] - 2 * (block @ queries.T)
            first = distances.argmin(axis=0)
            least = distances[first, np.arange(len(queries))]
            rows = np.where(least < best, first + start, rows)
            best = np.minimum(best, least)
            start = stop
        return rows

    def add_one(self, vectors: Floats) -> float | None:  # noqa: ARG002  # same for all
        return None

    def bytes_held(self) -> int:
        return self._squares.nbytes


class _Faiss:
    """The flat index of faiss, which copies the vectors."""

    name = "faiss flat"

    def __init__(self, vectors: Floats) -> None:
        faiss = importlib.import_module("faiss")  # may be absent, here and for mypy
        faiss.omp_set_num_threads(1)
        self._index = faiss.IndexFlatL2(vectors.shape[1])
        for block in _blocks(vectors):
            self._index.add(block)
        self._bytes = vectors.nbytes

    def nearest(self, queries: Floats) -> Answers:
        rows: Answers = self._index.search(queries, 1)[1][:, 0]
        return rows

    def add_one(self, vectors: Floats) -> float | None:
        start = time.perf_counter()
        self._index.add(vectors[-1:])
        return time.perf_counter() - start

    def bytes_held(self) -> int:
        return self._bytes


_Way = _Streamd | _Numpy | _Faiss
WAYS: Sequence[type[_Streamd] | type[_Numpy] | type[_Faiss]] = (_Streamd, _Numpy, _Faiss)


def measure(faces: Faces, *, repeats: int) -> list[VectorRow]:
    """Measure every way on the same faces, turn by turn."""
    ways: list[_Way] = []
    loads = []
    for kind in WAYS:
        start = time.process_time()
        try:
            ways.append(kind(faces.vectors))
        except ImportError:
            continue  # faiss-cpu is not installed
        loads.append(time.process_time() - start)
    truth = _truth(faces)
    single: list[list[float]] = [[] for _ in ways]
    batch: list[list[float]] = [[] for _ in ways]
    for repeat in range(repeats):
        query = faces.probes[repeat % _PROBES :][:1]
        queries = np.roll(faces.probes, -repeat * _BATCH, axis=0)[:_BATCH]
        for number, way in enumerate(ways):
            single[number].append(_cpu_ms(way, query))
            batch[number].append(_cpu_ms(way, queries) / len(queries))
    rows = []
    for number, way in enumerate(ways):
        answers = np.concatenate(
            [way.nearest(faces.probes[i : i + _BATCH]) for i in range(0, _PROBES, _BATCH)]
        )
        added = way.add_one(faces.vectors)
        rows.append(
            VectorRow(
                faces=len(faces.vectors),
                dim=faces.vectors.shape[1],
                row=way.name,
                single_ms=statistics.median(single[number]),
                batch_ms=statistics.median(batch[number]),
                recall_at_1=float((answers == truth).mean()),
                load_seconds=loads[number],
                add_ms=None if added is None else added * 1000,
                bytes_per_face=way.bytes_held() / len(faces.vectors),
            )
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure collections of the sizes asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vectors", description=__doc__)
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    args = parser.parse_args(arguments)
    rows: list[VectorRow] = []
    for count in args.faces:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(Faces(count, args.dim, Path(folder)), repeats=args.repeats)
    document = {"vectors": [asdict(row) for row in rows]}
    if args.output:
        args.output.write_text(json.dumps(document, indent=1) + "\n")
    console = Console(width=110)
    if args.json:
        console.print_json(data=document)
    else:
        console.print(table(rows))


def table(rows: Sequence[VectorRow]) -> Table:
    """Return the rows as a table, with how many times faster than faiss each is."""
    made = Table(title="face search, CPU milliseconds for a query")
    for title in ("faces", "dim", "row", "single", "in 16", "times flat"):
        made.add_column(title, justify="left" if title == "row" else "right")
    for title in ("recall@1", "load s", "add ms", "bytes/face"):
        made.add_column(title, justify="right")
    for row in rows:
        flat = [r for r in rows if r.faces == row.faces and r.dim == row.dim][-1]
        made.add_row(
            f"{row.faces:,}",
            str(row.dim),
            row.row,
            f"{row.single_ms:.2f}",
            f"{row.batch_ms:.2f}",
            f"{flat.single_ms / row.single_ms:.1f} / {flat.batch_ms / row.batch_ms:.1f}",
            f"{row.recall_at_1:.3f}",
            f"{row.load_seconds:.2f}",
            "" if row.add_ms is None else f"{row.add_ms:.2f}",
            f"{row.bytes_per_face:.0f}",
        )
    return made


def _truth(faces: Faces) -> Answers:
    """Return the nearest rows, compared in float64."""
    best = np.full(_PROBES, np.inf)
    rows = np.zeros(_PROBES, dtype=np.intp)
    probes = faces.probes.astype(np.float64)
    start = 0
    for block in _blocks(faces.vectors):
        wide = block.astype(np.float64)
        distances = np.einsum("ij,ij->i", wide, wide)[:, None] - 2 * (wide @ probes.T)
        first = distances.argmin(axis=0)
        least = distances[first, np.arange(_PROBES)]
        rows = np.where(least < best, first + start, rows)
        best = np.minimum(best, least)
        start += len(block)
    return rows


def _blocks(vectors: Floats) -> list[Floats]:
    return [vectors[start : start + 16_384] for start in range(0, len(vectors), 16_384)]


def _cpu_ms(way: _Way, queries: Floats) -> float:
    start = time.process_time()
    way.nearest(queries)
    return (time.process_time() - start) * 1000


def _one_thread() -> None:
    """Start again with libraries of one thread, which they are told before they are loaded."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    if any(os.environ.get(name) != "1" for name in names):
        os.environ.update(dict.fromkeys(names, "1"))
        command = [sys.executable, "-m", "tests.bench.vectors", *sys.argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606  # this program


if __name__ == "__main__":
    _one_thread()
    main()
