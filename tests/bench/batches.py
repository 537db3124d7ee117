"""``make bench-batches``: a network's pictures a second by batch size and window, device by device.

For each execution provider that is there: the network alone in batches of 1 to 64, then as
streams use it, one picture from each of many threads at once, by ``models.batch_window_ms``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from processors.models.runtime import BATCH_SIZE, Network, RuntimeOptions, available_providers
from tests.bench.plain import NANODET_FILE, SIZE
from tests.support.shared import MODELS

SIZES = (1, 2, 4, 8, 16, 32, 64)
WINDOWS_MS = (0.0, 1.0, 2.0, 5.0, 10.0)
STREAMS = 32


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """One way to run the network."""

    provider: str
    how: str
    pictures_per_second: float
    latency_ms: float
    """Median, of one run or from a thread's call to its answer."""


def measure(provider: str, model: Path, *, seconds: float) -> list[BatchRow]:
    """Return the rows of one provider, by its short name."""
    picture = np.random.default_rng(1).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    rows = []
    alone = Network(model, RuntimeOptions(providers=(provider,), batch_size=1))
    for size in SIZES:
        times = _times(alone, np.repeat(picture, size, axis=0), seconds)
        middle = statistics.median(times)
        rows.append(
            BatchRow(
                provider=provider,
                how=f"batch of {size}",
                pictures_per_second=size / middle,
                latency_ms=middle * 1000,
            )
        )
    for window_ms in WINDOWS_MS:
        options = RuntimeOptions(
            providers=(provider,), batch_size=BATCH_SIZE, batch_window_seconds=window_ms / 1000
        )
        rows.append(_streams(Network(model, options), picture, provider, window_ms, seconds))
    return rows


def _times(network: Network, pictures: NDArray[np.float32], seconds: float) -> list[float]:
    (name,) = network.inputs
    network.run(**{name: pictures})
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        network.run(**{name: pictures})
        times.append(time.perf_counter() - started)
    return times


def _streams(
    network: Network, picture: NDArray[np.float32], provider: str, window_ms: float, seconds: float
) -> BatchRow:
    with ThreadPoolExecutor(STREAMS) as pool:
        futures = [pool.submit(_times, network, picture, seconds) for _ in range(STREAMS)]
        times = [each for future in futures for each in future.result()]
    return BatchRow(
        provider=provider,
        how=f"{STREAMS} streams, window {window_ms:g} ms",
        pictures_per_second=len(times) / seconds,
        latency_ms=statistics.median(times) * 1000,
    )


def _table(rows: Sequence[BatchRow]) -> Table:
    table = Table(title=f"{NANODET_FILE}, {SIZE} x {SIZE}")
    for heading in ("provider", "how", "pictures/s", "median ms"):
        table.add_column(heading, justify="left" if heading in {"provider", "how"} else "right")
    for row in rows:
        table.add_row(
            row.provider, row.how, f"{row.pictures_per_second:.1f}", f"{row.latency_ms:.1f}"
        )
    return table


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="make bench-batches", description=__doc__)
    parser.add_argument("--providers", nargs="+", help="short names, as models.providers")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    model = MODELS / NANODET_FILE
    if not model.is_file():
        parser.exit(1, f"there is no {model}: set STREAMD_SHARED\n")
    there = available_providers()
    rows: list[BatchRow] = []
    console = Console(stderr=True)
    for provider in args.providers or [name for name in ("cuda", "cpu") if name in there]:
        with console.status(f"measuring {provider}"):
            try:
                found = measure(provider, model, seconds=args.seconds)
            except Exception as error:  # noqa: BLE001  # a build with CUDA on a machine without
                console.print(f"{provider}: {type(error).__name__}: {error}", highlight=False)
                continue
        rows += found
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console().print(_table(rows))


if __name__ == "__main__":
    main()
