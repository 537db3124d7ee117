"""Annotated frames: the very frames that records speak of, fetched from the archive."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.draw import Annotation, annotate, encode_jpeg
from streamd.demo.errors import DemoError
from streamd.demo.results import FrameResult, LabelSeen

__all__ = ["Pick", "choose", "contact_sheet", "find_frame", "save_frames"]

MAX_FACE_FRAMES = 6
TOLERANCE_SECONDS = 0.010
"""How near a frame must be to FrameOffsetInSeconds, as AWS's parser library demands."""
SHEET_COLUMNS = 3
TILE_PX = (640, 360)
GAP_PX = 8


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One frame worth showing, with what was found in it."""

    fragment_number: str
    offset_seconds: float
    annotations: tuple[Annotation, ...]
    title: str
    """Part of the file's name: ``eileen``, ``PERSON``."""


def choose(frames: Sequence[FrameResult], labels: Iterable[LabelSeen]) -> list[Pick]:
    """Choose the frames to show: each label's first sight, and faces over the whole video."""
    picks = [_label_pick(label, frames) for label in labels]
    with_faces = [frame for frame in frames if frame.faces]
    # Every name gets a place, the rest is spread evenly.
    first = {face.name: frame for frame in reversed(with_faces) for face in frame.faces}
    chosen = {id(frame): frame for name, frame in first.items() if name is not None}
    room = max(0, MAX_FACE_FRAMES - len(chosen))
    step = max(1, math.ceil(len(with_faces) / room)) if room else len(with_faces) + 1
    chosen |= {id(frame): frame for frame in with_faces[step // 2 :: step]}
    picks += [_face_pick(frame) for frame in chosen.values()]
    merged: dict[tuple[str, float], Pick] = {}
    for pick in sorted(picks, key=lambda pick: (pick.fragment_number, pick.offset_seconds)):
        merged.setdefault((pick.fragment_number, round(pick.offset_seconds, 3)), pick)
    return list(merged.values())


def save_frames(
    picks: Sequence[Pick], folder: Path, *, fetch: Callable[[str], bytes]
) -> list[Path]:
    """Write one annotated JPEG per pick, and a contact sheet of them all.

    Args:
        picks: The frames, in the order of time.
        folder: Made if it does not exist.
        fetch: Gives the MKV of a fragment by its number.

    Raises:
        DemoError: If a frame cannot be found where its record says it is.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9][0-9]-*.jpg"):
        old.unlink()  # of an earlier run; the new ones may be fewer
    wanted: dict[str, list[tuple[int, Pick]]] = defaultdict(list)
    for index, pick in enumerate(picks, start=1):
        wanted[pick.fragment_number].append((index, pick))
    paths: list[Path] = []
    pictures: list[NDArray[np.uint8]] = []
    for number, of_fragment in wanted.items():
        media = fetch(number)
        for index, pick in of_fragment:
            picture = annotate(find_frame(media, pick.offset_seconds), pick.annotations)
            path = folder / f"{index:02d}-{_file_part(pick.title)}.jpg"
            path.write_bytes(encode_jpeg(picture))
            paths.append(path)
            pictures.append(picture)
    if pictures:
        sheet = folder / "contact-sheet.jpg"
        sheet.write_bytes(encode_jpeg(contact_sheet(pictures)))
        paths.append(sheet)
    return paths


def find_frame(media: bytes, offset_seconds: float) -> NDArray[np.uint8]:
    """Return the frame of a fragment at an offset from its beginning, as RGB.

    Raises:
        DemoError: If no frame lies within 10 ms of the offset.

    """
    try:
        with av.open(io.BytesIO(media), "r") as container:
            start: float | None = None
            for packet in container.demux(video=0):
                if start is None and packet.pts is not None:
                    # The first packet is the keyframe, whose time is the cluster's.
                    start = float(packet.pts * packet.time_base)
                for frame in packet.decode():
                    if start is None or frame.time is None:
                        continue
                    if abs(frame.time - start - offset_seconds) <= TOLERANCE_SECONDS:
                        return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    except av.error.FFmpegError as error:
        raise DemoError(f"a fragment from the archive cannot be decoded: {error}") from error
    raise DemoError(f"no frame lies within 10 ms of offset {offset_seconds:.3f} s")


def contact_sheet(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return all pictures as tiles of one."""
    columns = min(SHEET_COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    width, height = TILE_PX
    size = (columns * (width + GAP_PX) + GAP_PX, rows * (height + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, (24, 24, 27))
    for index, picture in enumerate(pictures):
        tile = Image.fromarray(picture)
        tile.thumbnail(TILE_PX, Image.Resampling.LANCZOS)
        row, column = divmod(index, columns)
        left = GAP_PX + column * (width + GAP_PX) + (width - tile.width) // 2
        top = GAP_PX + row * (height + GAP_PX) + (height - tile.height) // 2
        sheet.paste(tile, (left, top))
    return np.asarray(sheet, dtype=np.uint8)


def archive_reader(archived_media: Any, stream_name: str) -> Callable[[str], bytes]:
    """Return a fetch for :func:`save_frames` on boto3's ``kinesis-video-archived-media``."""

    def fetch(fragment_number: str) -> bytes:
        answer = archived_media.get_media_for_fragment_list(
            StreamName=stream_name, Fragments=[fragment_number]
        )
        media: bytes = answer["Payload"].read()
        return media

    return fetch


def _face_pick(frame: FrameResult) -> Pick:
    names = sorted({face.name for face in frame.faces if face.name is not None})
    return Pick(
        fragment_number=frame.fragment_number,
        offset_seconds=frame.offset_seconds,
        annotations=tuple(Annotation(box=f.box, text=f.text) for f in frame.faces),
        title="-".join(names) or "unknown",
    )


def _label_pick(label: LabelSeen, frames: Sequence[FrameResult]) -> Pick:
    share = "" if label.confidence_percent is None else f" {label.confidence_percent:.0f} %"
    same = [
        frame
        for frame in frames
        if frame.fragment_number == label.fragment_number
        and abs(frame.offset_seconds - label.offset_seconds) <= TOLERANCE_SECONDS
    ]
    faces = tuple(Annotation(box=f.box, text=f.text) for frame in same for f in frame.faces)
    return Pick(
        fragment_number=label.fragment_number,
        offset_seconds=label.offset_seconds,
        annotations=(Annotation(box=label.box, text=f"{label.label}{share}"), *faces),
        title=label.label,
    )


def _file_part(title: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in title)[:40]
