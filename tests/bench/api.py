"""``make bench-api``: requests a second and their times, beside a bare server and a bare search.

One connection, one request after the other, signed by nobody: what a request costs, without
the client library. Collections are filled through the store, as no client would wait for it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from processors.faces.index import FaceIndex
from streamd.clock import SystemClock
from streamd.resources import Face, collection_arn
from streamd.store import Store
from tests.support.daemon import free_port, running_daemon, wait_until
from tests.support.scenes import astronaut_jpeg

ACCOUNT, REGION = "000000000000", "us-east-1"
MODEL_VERSION, DIMENSION = "8.1", 128  # of the built-in pack
BATCH = 2000
BARE = (
    "import sys;from aiohttp import web;app=web.Application();\n"
    "async def answer(request):\n"
    "    await request.read();return web.json_response({'Status': 'STOPPED'})\n"
    "app.router.add_post('/', answer)\n"
    "web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]), print=None, access_log=None)"
)


@dataclass(frozen=True, kw_only=True)
class ApiRow:
    """One line of the table; times in milliseconds."""

    row: str
    requests_per_second: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Run the benchmark, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="make bench-api", description=__doc__)
    parser.add_argument("--faces", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("bench-api.json"))
    args = parser.parse_args()
    rows = list(measure(args.faces, args.requests))
    args.output.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    table = Table(title="one connection, one request after the other")
    for column in ("row", "requests/s", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "row" else "right")
    for row in rows:
        cells = (f"{row.requests_per_second:.0f}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}")
        table.add_row(row.row, *cells)
    Console().print(table)


def measure(sizes: list[int], requests: int) -> Iterator[ApiRow]:
    """Yield the rows; the floor of a row stands above it."""
    with _bare_server() as port:
        yield _timed("floor: bare HTTP server", requests, _caller(port, "None", {}))
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir(mode=0o700)
        asked = {size: _fill(data_dir, size) for size in sizes}
        for size in sizes:
            yield _bare_search(size, min(requests, 50))
        with running_daemon(data_dir) as daemon:
            daemon.client("rekognition").create_collection(CollectionId="new")

            def row(name: str, operation: str, body: dict[str, object], count: int) -> ApiRow:
                return _timed(name, count, _caller(daemon.port, operation, body))

            collection: dict[str, object] = {"CollectionId": "new"}
            yield row("DescribeCollection", "DescribeCollection", collection, requests)
            for size in sizes:
                started = time.perf_counter()
                body: dict[str, object] = {"CollectionId": f"c{size}", "FaceId": asked[size]}
                _caller(daemon.port, "SearchFaces", body)()
                first = (time.perf_counter() - started) * 1000
                yield ApiRow(
                    row=f"SearchFaces, {size:,} faces, the first after a start",
                    requests_per_second=1000 / first,
                    p50_ms=first,
                    p99_ms=first,
                )
                yield row(f"SearchFaces, {size:,} faces", "SearchFaces", body, min(requests, 100))
            picture = base64.b64encode(astronaut_jpeg()).decode()
            index: dict[str, object] = {**collection, "Image": {"Bytes": picture}}
            yield row("IndexFaces, one face of 512 x 512", "IndexFaces", index, 30)


def _timed(name: str, count: int, call: Callable[[], None]) -> ApiRow:
    call()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return ApiRow(
        row=name,
        requests_per_second=1000 * count / sum(times),
        p50_ms=statistics.median(times),
        p99_ms=times[min(count - 1, int(count * 0.99))],
    )


def _caller(port: int, operation: str, body: dict[str, object]) -> Callable[[], None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    data = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"RekognitionService.{operation}",
    }

    def call() -> None:
        connection.request("POST", "/", data, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{operation} answered {answer.status}: {text[:200]!r}")

    return call


@contextlib.contextmanager
def _bare_server() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)])

    def answers() -> bool:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("POST", "/", b"{}")
            return connection.getresponse().status == 200
        return False

    try:
        wait_until(answers, what="the bare server")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _vectors(size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    # Directions of decaying weight, as embeddings of faces have them.
    random = np.random.default_rng(size)
    spectrum = np.linspace(1.0, 0.1, DIMENSION, dtype=np.float32)
    vectors = random.standard_normal((size, DIMENSION), dtype=np.float32) * spectrum
    vectors *= np.float32(1.4) / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _fill(data_dir: Path, size: int) -> str:
    """Make a collection of so many faces; returns the id of one."""
    store = Store(f"sqlite:///{data_dir / 'streamd.sqlite'}", clock=SystemClock())
    store.migrate()
    name = f"c{size}"
    store.create_collection(
        account_id=ACCOUNT,
        collection_id=name,
        arn=collection_arn(region=REGION, account_id=ACCOUNT, collection_id=name),
        face_model_version=MODEL_VERSION,
        tags={},
    )
    vectors = _vectors(size)
    for start in track(range(0, size, BATCH), description=f"filling {size:,} faces"):
        batch = [(_face(size, row), vectors[row]) for row in range(start, min(start + BATCH, size))]
        store.add_faces(ACCOUNT, name, batch)
    store.close()
    return _face(size, size // 2).face_id


def _face(size: int, row: int) -> Face:
    return Face(
        face_id=f"{size:08x}-0000-4000-8000-{row:012x}",
        image_id=f"{size:08x}-0000-4000-9000-{row:012x}",
        bounding_box=(0.1, 0.1, 0.5, 0.5),
        confidence_percent=99.0,
    )


def _bare_search(size: int, count: int) -> ApiRow:
    vectors = _vectors(size)
    index = FaceIndex(vectors)
    query = vectors[size // 2 : size // 2 + 1]
    return _timed(
        f"floor: bare search, {size:,} faces",
        count,
        lambda: _ignore(index.search(query, limit=100, max_distance=0.53)),
    )


def _ignore(found: object) -> None:
    del found


if __name__ == "__main__":
    main()
