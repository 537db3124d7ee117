"""``make bench``: streamd beside what one would run instead, in one run on one machine.

Sections: rows (CPU of each way on each clip), latency, growth (1 to 256 cameras), startup, api,
vectors. All of them take about a quarter of an hour on two cores, the first time some minutes
more for the clips. CPU seconds do not mind other work on the machine much, latency does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from processors.models.packs import load_face_analyzer, load_label_analyzer
from processors.models.runtime import RuntimeOptions
from tests.bench import report
from tests.bench.clips import CLIPS, Clip, cache_folder, make_clip
from tests.bench.growth import STREAMS, GrowthRow, measure_growth
from tests.bench.latency import Latency, measure_latency
from tests.bench.plain import NANODET, NANODET_FILE
from tests.bench.processes import machine
from tests.bench.rows import (
    ANALYZED_FPS,
    Pack,
    Row,
    SkippedError,
    ablations,
    measure_floor,
    measure_loop,
    measure_pipe,
    measure_streamd,
)
from tests.bench.startup import measure_startup

SECTIONS = ("rows", "latency", "growth", "startup", "api", "vectors")
USUAL_CLIPS = ("busy", "home", "idle")
GATE_LEARNS_SECONDS = 40.0
SETTLE_SECONDS = 6.0
LONGEST_SESSION_SECONDS = 120.0
EVEN_SCENE_SECONDS = 30.0
TABLE_COLUMNS = 130


class Bench:
    """One run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._started = time.monotonic()
        self.console = Console(stderr=True)
        if not self.console.is_terminal:
            self.console = Console(stderr=True, width=TABLE_COLUMNS)
        self._shared = Path(os.environ.get("STREAMD_SHARED", "../shared")).resolve()
        models = self._shared / "models"
        name = NANODET if (models / NANODET_FILE).is_file() else "faces"
        self.pack = Pack(name=name, models=models)
        self._clips: dict[str, Clip] = {}
        self.rows: list[Row] = []
        self.latencies: dict[str, Latency] = {}
        self.growth: list[GrowthRow] = []
        self.document: dict[str, Any] = {"machine": machine(), "pack": name}
        self.skipped: list[str] = []

    def clip(self, name: str) -> Clip:
        """Return a clip, made now if need be."""
        if name not in self._clips:
            with self.console.status(f"clip {name}") as status:

                def progress(share: float) -> None:
                    status.update(f"making the clip {name}, once: {share:.0%}")

                folder = self._args.cache
                self._clips[name] = make_clip(CLIPS[name], folder, self._shared, progress)
        return self._clips[name]

    def tell(self, text: str) -> None:
        """Say what is being done, and how long the run takes so far."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        self.console.print(f"[dim]{minutes:3d}:{seconds:02d}[/dim] {text}", highlight=False)

    def measure_rows(self) -> None:
        """Measure every way on every clip, in turns."""
        for repeat in range(self._args.repeats):
            for name in self._args.clips:
                clip = self.clip(name)
                for row, measure in self._ways(clip):
                    self.tell(f"{name}: {row} (run {repeat + 1} of {self._args.repeats})")
                    self.attempt(f"{name}, {row}", lambda m=measure: self.rows.append(m()))  # type: ignore[misc]  # bound now

    def attempt(self, what: str, measure: Callable[[], None]) -> None:
        """Measure, or note why not: one failure must not cost the other figures."""
        try:
            measure()
        except SkippedError as reason:
            self.skipped.append(f"{what}: {reason}")
        except Exception as error:  # noqa: BLE001  # told in the report
            self.skipped.append(f"{what}: {type(error).__name__}: {str(error)[:300]}")

    def _ways(self, clip: Clip) -> Iterator[tuple[str, Callable[[], Row]]]:
        def is_wanted(row: str) -> bool:
            return self._args.rows is None or row in self._args.rows

        seconds = self._seconds(clip)
        # The floor is what the others are compared with.
        yield "floor", lambda: measure_floor(clip, self._analyzer())
        if is_wanted("loop"):
            yield "loop", lambda: measure_loop(clip, self.pack, seconds=seconds)
        if is_wanted("pipe"):
            yield "pipe", lambda: measure_pipe(clip, self.pack, seconds=seconds)
        if is_wanted("streamd"):
            yield "streamd", lambda: self._streamd(clip, "streamd", {})
        if clip.name in self._args.ablations:
            for row, environment in ablations().items():
                if row == "streamd -disposable" and not clip.recipe.b_frames:
                    continue  # all pictures are referred to
                if is_wanted(row):
                    yield row, lambda r=row, e=environment: self._streamd(clip, r, e)  # type: ignore[misc]  # bound now

    def _seconds(self, clip: Clip) -> float:
        is_even = clip.recipe.scene != "home"
        longest = EVEN_SCENE_SECONDS if is_even else float(clip.recipe.seconds)
        wanted: float = self._args.seconds
        return min(wanted, longest)

    def _streamd(self, clip: Clip, row: str, environment: dict[str, str]) -> Row:
        learns = "STREAMD_ANALYSIS__GATE" not in environment and "streamd -gate" in ablations()
        seconds = self._seconds(clip)
        warm_up = GATE_LEARNS_SECONDS if learns else SETTLE_SECONDS
        return measure_streamd(
            clip,
            self.pack,
            row=row,
            environment=environment,
            warm_up=min(warm_up, LONGEST_SESSION_SECONDS - seconds),
            seconds=seconds,
        )

    def _analyzer(self) -> Any:
        options = RuntimeOptions()
        return load_label_analyzer(
            self.pack.name,
            self.pack.models,
            options,
            faces=lambda: load_face_analyzer("builtin", self.pack.models, options),
        )

    def measure_latency(self) -> None:
        """Measure how long frames take to their records."""
        for name in self._args.clips:
            if self.clip(name).recipe.b_frames:
                continue  # a camera gives them out late itself
            self.tell(f"latency of {name}")
            self.attempt(f"{name}, latency", lambda n=name: self._latency(n))  # type: ignore[misc]  # bound now

    def _latency(self, name: str) -> None:
        seconds = 15 if self._args.quick else 25
        self.latencies[name] = measure_latency(self.clip(name), self.pack, seconds=seconds)

    def measure_growth(self) -> None:
        """Measure many cameras."""
        counts = (1, 16) if self._args.quick else STREAMS
        learns = GATE_LEARNS_SECONDS if "streamd -gate" in ablations() else SETTLE_SECONDS
        for name, fps, warm_up in (("idle", float(ANALYZED_FPS), learns), ("small", 0.5, 6.0)):
            self.tell(f"growth: {', '.join(map(str, counts))} cameras, {name}")
            self.growth += measure_growth(
                self.clip(name),
                self.pack,
                analyzed_fps=fps,
                streams=counts,
                warm_up=warm_up,
                seconds=12.0,
            )
        self.document["growth"] = [asdict(row) for row in self.growth]

    def measure_startup(self) -> None:
        """Measure what a daemon costs before there is anything to do."""
        self.tell("start of a daemon")
        self.document["startup"] = asdict(measure_startup(self.clip("home"), self.pack))

    def measure_api(self) -> None:
        """Measure API requests."""
        sizes = ["10000"] if self._args.quick else ["10000", "100000"]
        self._other("api", ["--faces", *sizes])

    def measure_vectors(self) -> None:
        """Measure face search."""
        sizes = ["10000"] if self._args.quick else ["10000", "100000", "1000000"]
        self._other("vectors", ["--faces", *sizes])

    def _other(self, name: str, arguments: Sequence[str]) -> None:
        self.tell(f"{name}, {', '.join(arguments[1:])} faces")
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "rows.json"
            command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
            # It prints a table of its own, which belongs on the screen alone.
            done = subprocess.run(
                [*command, "--output", str(output)], stdout=sys.stderr, check=False
            )
            if done.returncode == 0:
                document = json.loads(output.read_text())
                self.document[name] = next(iter(document.values()))
            else:
                self.skipped.append(f"{name}: exit {done.returncode}")

    def finish(self) -> None:
        """Complete the document and show the tables."""
        seconds = {name: clip.recipe.seconds for name, clip in self._clips.items()}
        made = report.lines(
            report.medians(self.rows), clip_seconds=seconds, latencies=self.latencies
        )
        judged = report.targets(made, self.growth)
        self.document |= {
            "clips": {
                name: {"footage": clip.footage, "kbits_per_second": clip.kbits_per_second}
                | asdict(clip.recipe)
                for name, clip in self._clips.items()
            },
            "rows": report.row_documents(made),
            "targets": [asdict(target) for target in judged],
            "skipped": self.skipped,
            "minutes": round((time.monotonic() - self._started) / 60, 1),
        }
        if self.latencies:
            self.document["latency"] = [asdict(each) for each in self.latencies.values()]
        for table in self._tables(made, judged):
            self.console.print(table)

    def _tables(
        self, made: Sequence[report.Line], judged: Sequence[report.Target]
    ) -> Iterator[Table | str]:
        yield "\n{cpu}, {cores} cores, {memory_gb} GB, Python {python}, load {load_at_start} at the start".format(
            **self.document["machine"]
        )
        for name in dict.fromkeys(line.row.clip for line in made):
            recipe = self._clips[name].recipe
            title = (
                f"{name}: {recipe.width} x {recipe.height}, {recipe.fps}/s, {recipe.codec}, "
                f"{self._clips[name].kbits_per_second} kbit/s, {ANALYZED_FPS} analysed/s, "
                f"{self.pack.name}"
            )
            yield report.row_table([line for line in made if line.row.clip == name], title)
        if self.growth:
            yield report.growth_table(self.growth)
        for each in self.latencies.values():
            yield (
                f"{each.clip}: arrival of a frame to its record (face search) p50 {each.p50_ms:.0f}, "
                f"p95 {each.p95_ms:.0f}, p99 {each.p99_ms:.0f} ms of {each.records}"
            )
        if "startup" in self.document:
            yield (
                "start to /readyz {ready_seconds:.1f} s, first record after {first_record_seconds:.1f} s; "
                "idle: control {idle_control_mb:.0f} MB, worker {idle_worker_mb:.0f} MB, "
                "{idle_threads} threads, {idle_cpu_seconds_per_second:.3f} CPU s/s"
            ).format(**self.document["startup"])
        for target in judged:
            mark = "met   " if target.is_met else "MISSED"
            yield f"{mark} {target.text} {target.wanted:g}: {target.measured:.2f}"
        for reason in self.skipped:
            yield f"skipped: {reason}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer of everything")
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
        help=", ".join(SECTIONS),
    )  # fmt: skip
    parser.add_argument(
        "--clips", nargs="+", choices=[*CLIPS, "all"], metavar="CLIP",
        help=f"{', '.join(CLIPS)} or all; usually {', '.join(USUAL_CLIPS)}",
    )  # fmt: skip
    parser.add_argument(
        "--rows", nargs="+", metavar="ROW",
        help="floor (always measured), loop, pipe, streamd, 'streamd -gate' …; all",
    )  # fmt: skip
    parser.add_argument(
        "--ablations", nargs="*", choices=[*CLIPS, "all"], metavar="CLIP",
        help="clips that are also measured with each step off; usually home",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60.0, help="measured in real time")
    parser.add_argument("--repeats", type=int, default=1, help="turns; medians are shown")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where clips are kept")
    parser.add_argument(
        "--json", type=Path, nargs="?", const=Path("-"), default=Path("bench.json"), metavar="FILE",
        help="where the figures go; without a name to standard output",
    )  # fmt: skip
    args = parser.parse_args()
    everything = [name for name in CLIPS if name != "small"]
    usual = USUAL_CLIPS if not args.quick else ("busy", "home")
    args.clips = everything if args.clips and "all" in args.clips else args.clips or usual
    if args.ablations is None:
        args.ablations = ("home",)
    elif "all" in args.ablations:
        args.ablations = everything
    if not 5 <= args.seconds <= LONGEST_SESSION_SECONDS - SETTLE_SECONDS or args.repeats < 1:
        parser.error("--seconds must be 5 to 114 and --repeats 1 or more")
    return args


def main() -> None:
    """Run the benchmark, see the module's docstring."""
    args = _arguments()
    bench = Bench(args)
    with contextlib.suppress(KeyboardInterrupt):  # what was measured until then is shown
        for section in SECTIONS:
            if section in args.sections:
                bench.attempt(section, getattr(bench, f"measure_{section}"))
    bench.finish()
    text = json.dumps(bench.document, indent=1) + "\n"
    if args.json == Path("-"):
        print(text, end="")
    else:
        args.json.write_text(text)
        bench.tell(f"written to {args.json}")


if __name__ == "__main__":
    main()
