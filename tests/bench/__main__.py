"""Measure, print a table, write bench.json."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
from pathlib import Path

import av
from rich.console import Console
from rich.table import Table

from processors.models.packs import load_face_analyzer, load_label_analyzer
from processors.models.runtime import RuntimeOptions
from tests.bench.clips import FPS, make_clip
from tests.bench.rows import Row, measure_floor, measure_loop, measure_streamd
from tests.support.media import Video

ANALYZED_FPS = 5
PACK = "nanodet-plus-m"
NETWORK = "object_nanodet_plus_m_416.onnx"


def main() -> None:
    """Run the benchmark, see ``make bench``."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="length of the clip")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs of each row")
    parser.add_argument("--json", action="store_true", help="print bench.json instead of a table")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    args = parser.parse_args()
    console = Console(stderr=True)
    shared = Path(os.environ.get("STREAMD_SHARED", "../shared")).resolve()
    models = shared / "models"
    pack = PACK if (models / NETWORK).is_file() else "faces"
    options = RuntimeOptions()
    analyzer = load_label_analyzer(
        pack, models, options, faces=lambda: load_face_analyzer("builtin", models, options)
    )
    with console.status("making the clip"):
        what, video = make_clip(args.seconds, shared)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mkv"
        _write(video, clip)
        for repeat in range(args.repeats):
            for name in ("loop", "floor", "streamd"):
                console.print(f"run {repeat + 1} of {args.repeats}: {name}")
                row = _measure(name, video, clip, args.seconds, analyzer, pack, models)
                if row is not None:
                    rows.append(row)
    medians = _medians(rows)
    document = {
        "clip": what,
        "pack": pack,
        "rows": [{"clip": "busy", "row": r.name, **_values(r)} for r in medians],
    }
    args.output.write_text(json.dumps(document, indent=1) + "\n")
    if args.json:
        Console().print_json(data=document)
    else:
        Console().print(_table(medians, f"busy 1080p{FPS} ({what}), {pack}, {ANALYZED_FPS} fps"))


def _measure(
    name: str, video: Video, clip: Path, seconds: int, analyzer: object, pack: str, models: Path
) -> Row | None:
    if name == "loop":
        return measure_loop(clip, seconds, ANALYZED_FPS, models / NETWORK)
    if name == "floor":
        return measure_floor(video, seconds, analyzer, ANALYZED_FPS)  # type: ignore[arg-type]  # a LabelAnalyzer
    return measure_streamd(video, seconds, ANALYZED_FPS, pack, models)


def _write(video: Video, path: Path) -> None:
    from tests.support.media import put_media_body

    path.write_bytes(put_media_body(video, start_ms=0))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.width == 1920


def _medians(rows: list[Row]) -> list[Row]:
    medians = []
    for name in dict.fromkeys(row.name for row in rows):
        same = [row for row in rows if row.name == name]
        middle = statistics.median(row.cpu_seconds_per_second for row in same)
        parts = {key: statistics.median(row.parts[key] for row in same) for key in same[0].parts}
        medians.append(dataclasses.replace(same[0], cpu_seconds_per_second=middle, parts=parts))
    return medians


def _values(row: Row) -> dict[str, object]:
    values = dataclasses.asdict(row)
    del values["name"]
    return values


def _table(rows: list[Row], title: str) -> Table:
    floor = next(row.cpu_seconds_per_second for row in rows if row.name == "floor")
    table = Table(title=title)
    for column in ("row", "CPU s per s", "of floor", "analysed", "found", "made of"):
        table.add_column(column, justify="left" if column in ("row", "made of") else "right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.cpu_seconds_per_second:.3f}",
            f"{row.cpu_seconds_per_second / floor:.2f}",
            str(row.analyzed_frames),
            "" if row.detections < 0 else str(row.detections),
            ", ".join(f"{key} {value:.3f}" for key, value in row.parts.items()),
        )
    return table


if __name__ == "__main__":
    main()
