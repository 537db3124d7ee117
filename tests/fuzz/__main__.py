"""``make fuzz``: every target, or one, for so many seconds each; says what was found.

The corpus that grows lies in ``.fuzz/``. An input that fails is kept in
``tests/fuzz/regressions/TARGET/``: mend the fault, and commit the input with the mend; the
test suite replays it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.fuzz.target import REGRESSIONS, TARGETS, Target, load, regressions

ROOT = Path(__file__).parent.parent.parent
CORPUS = ROOT / ".fuzz"
TIMEOUT_SECONDS = 20
MEMORY_MB = 2048
_PROGRESS = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+)(?: corp: (\d+))?")
_EXECUTED = re.compile(r"number_of_executed_units:\s*(\d+)")
_FAULT = re.compile(r"^(?:=== Uncaught|Traceback|ERROR: libFuzzer|==\d+==\s*ERROR|\S*Error\b)")


@dataclass
class Run:
    """What one target has done so far."""

    target: Target
    seconds: float = 0.0
    executions: int = 0
    features_before: int | None = None
    """Branches, with how often they were taken, that the seeds reach."""
    features: int = 0
    corpus: int = 0
    state: str = "waiting"
    kept: Path | None = None
    """The input that failed."""
    log: list[str] = field(default_factory=list)

    @property
    def is_crash(self) -> bool:
        """Whether an input failed, or the target could not run."""
        return self.state not in ("waiting", "running", "done")


def main(arguments: list[str] | None = None) -> int:
    """Fuzz; returns 1 if anything failed."""
    options = _parse(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=100)
    if importlib.util.find_spec("atheris") is None:
        console.print("atheris is not installed: pip install --editable '.[fuzz]'")
        return 2
    runs = [Run(TARGETS[name]) for name in options.target or TARGETS]
    started = time.monotonic()
    with Live(_table(runs), console=console, refresh_per_second=2, transient=True) as live:
        for run in runs:
            _fuzz(run, options.seconds, lambda: live.update(_table(runs)))
    console.print(_table(runs))
    for run in runs:
        if run.is_crash:
            _explain(console, run)
    crashes = sum(run.is_crash for run in runs)
    total = sum(run.executions for run in runs)
    console.print(
        f"{total:,} executions in {time.monotonic() - started:.0f} s, "
        f"{crashes or 'no'} crash{'es' if crashes != 1 else ''}"
    )
    return int(bool(crashes))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Coverage-guided fuzzing.")
    parser.add_argument("target", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    options = parser.parse_args(arguments)
    options.target = [name for text in options.target for name in text.split()]
    if unknown := set(options.target) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if options.seconds < 1:
        parser.error(f"--seconds must be 1 or more, got {options.seconds}")
    return options


def _fuzz(run: Run, seconds: int, on_progress: Callable[[], None]) -> None:
    name = run.target.name
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as scratch:
        seeds, artifacts = Path(scratch) / "seeds", Path(scratch) / "artifacts"
        artifacts.mkdir()
        _write_seeds(seeds, [*load(name).seeds(), *(p.read_bytes() for p in regressions(name))])
        command = [
            *(sys.executable, "-m", "tests.fuzz.child", name, str(corpus), str(seeds)),
            f"-max_total_time={seconds}",
            f"-max_len={run.target.max_bytes}",
            f"-timeout={TIMEOUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={artifacts}/",
            "-print_final_stats=1",
            # New seeds are taken over into the corpus at once; the rest is the usual.
            "-reload=0",
        ]
        started = time.monotonic()
        run.state = "running"
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": scratch},
            stdout=subprocess.PIPE,  # the traceback of what failed
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                _note(run, line.rstrip())
                run.seconds = time.monotonic() - started
                on_progress()
        _conclude(run, process.returncode, sorted(artifacts.iterdir()))
    on_progress()


def _write_seeds(folder: Path, seeds: Iterable[bytes]) -> None:
    folder.mkdir()
    for seed in seeds:
        (folder / _name_of(seed)).write_bytes(seed)


def _note(run: Run, line: str) -> None:
    run.log = [*run.log[-200:], line]
    if found := _PROGRESS.search(line):
        run.executions, run.features = int(found[1]), int(found[4])
        run.corpus = int(found[5] or run.corpus)
        if found[2] == "INITED":
            run.features_before = run.features
    elif found := _EXECUTED.search(line):
        run.executions = int(found[1])


def _conclude(run: Run, code: int, artifacts: list[Path]) -> None:
    run.state = "done" if code == 0 else f"exit {code}"
    for artifact in artifacts:
        if artifact.name.startswith("slow-unit-"):
            continue
        run.state = artifact.name.partition("-")[0]  # crash, timeout, oom, leak
        data = artifact.read_bytes()
        run.kept = REGRESSIONS / run.target.name / _name_of(data)
        run.kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact, run.kept)


def _name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _table(runs: list[Run]) -> Table:
    table = Table(box=box.SIMPLE)
    for heading in ("target", "state"):
        table.add_column(heading)
    for heading in ("seconds", "executions", "per second", "coverage", "new", "corpus"):
        table.add_column(heading, justify="right")
    for run in runs:
        style = "red" if run.is_crash else "dim" if run.state == "waiting" else None
        before = run.features_before
        table.add_row(
            run.target.name,
            run.state,
            f"{run.seconds:.0f}",
            f"{run.executions:,}",
            f"{run.executions / run.seconds:,.0f}" if run.seconds else "",
            f"{run.features:,}",
            f"+{run.features - before:,}" if before is not None else "",
            f"{run.corpus:,}",
            style=style,
        )
    return table


def _explain(console: Console, run: Run) -> None:
    begins = next((i for i, line in enumerate(run.log) if _FAULT.match(line.strip())), 0)
    console.print(f"\n{run.target.name}: {run.state}", style="bold red")
    console.print("\n".join(run.log[begins : begins + 40]), markup=False, highlight=False)
    if run.kept is not None:
        console.print(f"kept as {run.kept.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
