"""The gate against full decoding: what it saves, and whether it loses anything.

Each clip is decoded in full and behind the gate, sampled as the daemon does and shown to the
same detector. A detection of full decoding is kept if the gated run has one within half a
period. ``decode`` is CPU seconds per second of video for decoding and the gate; inference is
the same per analysed frame on both sides and is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from processors.geometry import WHOLE_PICTURE
from processors.models.packs import load_face_analyzer, load_label_analyzer
from processors.models.runtime import RuntimeOptions
from streamd.gate.decoder import GatedDecoder
from streamd.gate.scene import HEIGHT_PX, WIDTH_PX, Motion, Scene
from streamd.ingest.decode import DecodedFrame, Decoder
from streamd.ingest.timeline import Timeline
from streamd.kvs.fragments import FragmentEnded, FragmentEvent, FragmentReader, Packet
from streamd.pipeline.sampling import Sampler
from tests.bench.gate_clips import CLIPS, Clip, make
from tests.support.media import Video, get_media_body

__all__ = ["GateRow", "main", "measure"]

ANALYZED_FPS = 5
TOLERANCE_SECONDS = 0.11
PACK, NETWORK = "nanodet-plus-m", "object_nanodet_plus_m_416.onnx"
LEAST_CONFIDENCE = 50.0
APART_SECONDS = 2.0
"""Detections further apart belong to different visits."""

Detect = Callable[[DecodedFrame], int]


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """One clip, in full and behind the gate."""

    clip: str
    what: str
    decoded_percent: float
    """Frames decoded behind the gate, those decoded twice counted twice."""
    moving: int
    """Analysed frames of full decoding in which something moves."""
    moving_missed: int
    detections: int
    """Analysed frames of full decoding with a detection."""
    detections_missed: int
    delay_seconds: float
    """Longest time from a visit's first detection to the first one behind the gate."""
    state: str
    wakes: dict[str, int]
    audits: int
    missed_motion: int
    decode_full: float
    decode_gated: float


@dataclass(frozen=True, kw_only=True)
class _Run:
    analyzed: dict[int, bool]
    """Media time in milliseconds of each analysed frame, and whether something was found."""
    cpu_seconds: float
    state: str
    """Of the gate, before the end wakes it."""


def measure(
    clip: Clip, video: Video, detect: Detect, *, known: dict[int, bool] | None = None
) -> GateRow:
    """Decode a clip both ways and compare.

    Args:
        clip: How it was made.
        video: Its packets.
        detect: Tells how many are found in a frame.
        known: Media time in milliseconds of frames shown to the detector before, and whether it
            found something; added to.
    """
    events = FragmentReader().feed(get_media_body(video))
    known = {} if known is None else known
    motion = Motion(Scene(np.ones((30, 40), np.bool_)))
    moving: set[int] = set()

    def find(at_ms: int, frame: DecodedFrame) -> bool:
        if at_ms not in known:
            known[at_ms] = detect(frame) > 0
        return known[at_ms]

    def find_and_watch(at_ms: int, frame: DecodedFrame) -> bool:
        luma = frame.luma(WHOLE_PICTURE, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        if motion.look(at_ms * 1_000_000, luma) > 1:
            moving.add(at_ms)
        return find(at_ms, frame)

    full = _run(events, Decoder(), find_and_watch)
    gated_decoder = GatedDecoder()
    gated = _run(events, gated_decoder, find)
    stats = gated_decoder.gate
    missed = [at for at in full.analyzed if full.analyzed[at] and not _has(gated, at, found=True)]
    return GateRow(
        clip=clip.name,
        what=clip.what,
        decoded_percent=100 * gated_decoder.stats.frames / len(video.packets),
        moving=len(moving),
        moving_missed=sum(not _has(gated, at, found=False) for at in moving),
        detections=sum(full.analyzed.values()),
        detections_missed=len(missed),
        delay_seconds=_delay(full, gated),
        state=gated.state,
        wakes={cause.value: count for cause, count in stats.wakes.items()},
        audits=stats.audits,
        missed_motion=stats.missed_motion,
        decode_full=full.cpu_seconds / clip.seconds,
        decode_gated=gated.cpu_seconds / clip.seconds,
    )


def _run(
    events: Sequence[FragmentEvent],
    decoder: Decoder | GatedDecoder,
    find: Callable[[int, DecodedFrame], bool],
) -> _Run:
    timeline, sampler = Timeline(), Sampler(fps=ANALYZED_FPS)
    analyzed: dict[int, bool] = {}
    aside = 0.0

    def take(frames: Iterator[DecodedFrame]) -> None:
        nonlocal aside
        for frame in frames:
            at_ns = timeline.place(frame.fragment, frame.offset_ns).media_time_ns
            if not sampler.wants(at_ns):
                continue
            begun = time.thread_time()
            at_ms = round(at_ns / 1_000_000)
            analyzed[at_ms] = find(at_ms, frame)
            aside += time.thread_time() - begun
            if analyzed[at_ms] and isinstance(decoder, GatedDecoder):
                decoder.note_detection()

    begun = time.thread_time()
    for event in events:
        if isinstance(event, Packet):
            take(decoder.decode([event]))
        elif isinstance(event, FragmentEnded):
            decoder.end_fragment(event.fragment)
            decoder.completed_fragments()
    state = decoder.gate.state.value if isinstance(decoder, GatedDecoder) else ""
    take(decoder.drain())
    spent = time.thread_time() - begun - aside
    decoder.close()
    return _Run(analyzed=analyzed, cpu_seconds=spent, state=state)


def _has(run: _Run, at_ms: int, *, found: bool) -> bool:
    near = TOLERANCE_SECONDS * 1000
    return any(abs(at - at_ms) <= near and (hit or not found) for at, hit in run.analyzed.items())


def _delay(full: _Run, gated: _Run) -> float:
    last, longest = -1e9, 0.0
    for at in sorted(at for at, hit in full.analyzed.items() if hit):
        if at - last > APART_SECONDS * 1000:
            later = [g for g, hit in gated.analyzed.items() if hit and g >= at - 110]
            longest = max(longest, (min(later, default=at + 3_600_000) - at) / 1000)
        last = at
    return longest


def _detector(shared: Path) -> Detect:
    models, options = shared / "models", RuntimeOptions()
    pack = PACK if (models / NETWORK).is_file() else "faces"
    labels = load_label_analyzer(
        pack, models, options, faces=lambda: load_face_analyzer("builtin", models, options)
    )
    return lambda frame: len(labels.detect(frame, min_confidence_percent=LEAST_CONFIDENCE))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the clips asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate", description=__doc__)
    parser.add_argument("clip", nargs="*", help=", ".join(clip.name for clip in CLIPS))
    parser.add_argument("--folder", type=Path, help="where made clips are kept (default: nowhere)")
    parser.add_argument("--motion", action="store_true", help="compare motion alone: no detector")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    args = parser.parse_args(arguments)
    if unknown := set(args.clip) - {clip.name for clip in CLIPS}:
        parser.error(f"no clip {', '.join(sorted(unknown))}")
    shared = Path(os.environ.get("STREAMD_SHARED", "../shared")).resolve()
    detect = (lambda _: 0) if args.motion else _detector(shared)
    rows, notes = [], Console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch:
        for clip in CLIPS:
            if not args.clip or clip.name in args.clip:
                notes.print(f"{clip.name}: {clip.what}")
                folder = args.folder or Path(scratch)
                found = folder / f"{clip.name}.found.json"
                known = {} if args.motion else _read_known(found)
                rows.append(measure(clip, make(clip, shared, folder), detect, known=known))
                if not args.motion:
                    found.write_text(json.dumps(known))
                notes.print(rows[-1])
    document = {"gate": [asdict(row) for row in rows]}
    if args.output:
        args.output.write_text(json.dumps(document, indent=1) + "\n")
    if args.json:
        Console().print_json(data=document)
    else:
        Console(width=150).print(table(rows))


def _read_known(path: Path) -> dict[int, bool]:
    if not path.is_file():
        return {}
    return {int(at): hit for at, hit in json.loads(path.read_text()).items()}


def table(rows: Sequence[GateRow]) -> Table:
    """Return the rows as a table."""
    made = Table(title=f"the gate against full decoding, {ANALYZED_FPS} analysed frames a second")
    for column in (
        *("clip", "decoded", "moving", "missed", "detections", "missed", "delay", "state"),
        *("wakes", "audits", "decode full", "gated"),
    ):
        made.add_column(column, justify="left" if column in ("clip", "state", "wakes") else "right")
    for row in rows:
        made.add_row(
            row.clip,
            f"{row.decoded_percent:.0f} %",
            *(str(row.moving), str(row.moving_missed)),
            *(str(row.detections), str(row.detections_missed)),
            f"{row.delay_seconds:.1f} s",
            row.state,
            " ".join(f"{cause} {count}" for cause, count in row.wakes.items()),
            f"{row.audits}, {row.missed_motion} missed",
            *(f"{row.decode_full:.4f}", f"{row.decode_gated:.4f}"),
        )
    return made


if __name__ == "__main__":
    main()
