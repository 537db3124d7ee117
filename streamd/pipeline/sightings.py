"""Sightings: who or what a stream processor saw, from when to when, each with its best picture.

A sighting is one file per stream processor and subject, for the console alone: results leave by
the outbox, and nothing here can hold them up. The files are few and age: faces are biometric
data. Names and pictures lie under ``DATA_DIR/console/sightings``; ``console.sightings = 0`` keeps
none.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from processors.draw import encode_jpeg
from processors.geometry import Box
from processors.picture import Picture
from streamd.clock import Clock
from streamd.pipeline.finds import Find
from streamd.pipeline.picture_files import read_head, read_picture, write_picture
from streamd.records import FramePosition
from streamd.records.values import Document, upper_box

__all__ = ["SightingFiles", "SightingLog"]

GAP_SECONDS: Final = 10.0
"""Who is back after a longer time is a new sighting."""
_TELL_SECONDS: Final = 5.0
"""How often a sighting that goes on is written anew."""
_BETTER_PERCENT: Final = 5.0
"""A picture so much surer replaces the one before; at most a few times, as 100 % is the end."""
_MAX_OPEN: Final = 200
_PICTURE_PX: Final = 480
_SHAPE: Final = 4 / 3
_QUALITY: Final = 80
_AROUND: Final = 0.9
"""How much of the scene is shown on each side of the find, as a share of its size."""
_LEAST_SHARE: Final = 0.3
"""The least part of the frame's width and height a picture shows."""
_SUFFIX: Final = ".sighting"
_ID: Final = re.compile(r"[0-9]{13}-[0-9a-f]{8}")


@dataclass(slots=True)
class _Open:
    """A sighting that may go on."""

    path: Path
    first: float
    last: float
    told: float
    find: Find
    shown: Document
    """Where the find lies in the picture."""
    jpeg: bytes
    frames: int = 1

    def head(self, position: Document) -> Document:
        return {
            "StartedAt": round(self.first, 3),
            "LastSeenAt": round(self.last, 3),
            "Frames": self.frames,
            **self.find.document(),
            # In the picture, which is a part of the frame.
            "BoundingBox": self.shown,
            **position,
        }


class SightingFiles:
    """The files of all stream processors on this machine (blocking)."""

    def __init__(self, directory: Path, *, limit: int, max_age_seconds: float) -> None:
        """Keep at most ``limit`` sightings of each stream processor; 0 keeps none."""
        self._directory = directory
        self.limit = limit
        self._max_age_seconds = max_age_seconds

    def new_path(self, key: str, *, started: float) -> Path:
        """Return a path for a sighting; a day's order is that of the names."""
        milliseconds = min(max(0, round(started * 1000)), 10**13 - 1)
        name = f"{milliseconds:013d}-{secrets.token_hex(4)}{_SUFFIX}"
        return self._directory / key / name

    def listed(self, key: str, *, limit: int) -> list[tuple[str, Mapping[str, Any]]]:
        """Return ids and heads, newest first."""
        found = []
        for path in reversed(self._paths(key)):
            if (head := read_head(path)) is not None:
                found.append((path.name.removesuffix(_SUFFIX), head))
            if len(found) >= limit:
                break
        return found

    def picture(self, key: str, sighting_id: str) -> bytes | None:
        """Return the picture of a sighting as JPEG, ``None`` if there is no such sighting."""
        if not _ID.fullmatch(sighting_id):
            return None
        found = read_picture(self._directory / key / f"{sighting_id}{_SUFFIX}")
        return found.jpeg if found is not None else None

    def prune(self, key: str, *, now: float) -> None:
        """Forget the oldest beyond the limit, and what is too old."""
        paths = self._paths(key)
        surplus = len(paths) - self.limit
        for index, path in enumerate(paths):
            if index < surplus or self._is_old(path, now):
                with contextlib.suppress(OSError):
                    path.unlink()

    def keys(self) -> list[str]:
        """Return what has sightings."""
        try:
            return sorted(path.name for path in self._directory.iterdir() if path.is_dir())
        except OSError:
            return []

    def sweep(self, living: Collection[str], *, now: float) -> None:
        """Forget what is too old, and all of stream processors that were deleted."""
        for key in self.keys():
            if key in living and self.limit:
                self.prune(key, now=now)
            else:
                shutil.rmtree(self._directory / key, ignore_errors=True)

    def _paths(self, key: str) -> list[Path]:
        return sorted((self._directory / key).glob(f"[0-9]*{_SUFFIX}"))

    def _is_old(self, path: Path, now: float) -> bool:
        try:
            return now - path.stat().st_mtime > self._max_age_seconds
        except OSError:
            return False


class SightingLog:
    """Notes the sightings of one session; used by one thread at a time."""

    def __init__(self, files: SightingFiles, key: str, *, clock: Clock) -> None:
        self._files = files
        self._key = key
        self._clock = clock
        self._open: dict[str, _Open] = {}

    def note(
        self, picture: Picture, position: FramePosition, finds: Sequence[Find], where: Document
    ) -> None:
        """Take down what a frame shows; ``where`` says which frame it is.

        Raises:
            OSError: If it cannot be written.

        """
        seconds = position.media_seconds
        if not position.producer_timestamp_ms:  # the producer told no time
            seconds += position.server_timestamp_ms / 1000
        for find in _surest(finds):
            known = self._open.get(find.subject)
            if known is None or not 0 <= seconds - known.last <= GAP_SECONDS:
                self._begin(picture, seconds, find, where)
            else:
                self._go_on(known, picture, seconds, find, where)

    def _begin(self, picture: Picture, seconds: float, find: Find, where: Document) -> None:
        self._open = {
            subject: one
            for subject, one in self._open.items()
            if 0 <= seconds - one.last <= GAP_SECONDS
        }
        if len(self._open) >= _MAX_OPEN:
            return
        shown, jpeg = _pictured(picture, find.box)
        path = self._files.new_path(self._key, started=seconds)
        one = _Open(path, seconds, seconds, seconds, find, shown, jpeg)
        write_picture(path, one.head(where), jpeg)
        self._open[find.subject] = one
        self._files.prune(self._key, now=self._clock.epoch())

    def _go_on(
        self, one: _Open, picture: Picture, seconds: float, find: Find, where: Document
    ) -> None:
        one.last = seconds
        one.frames += 1
        if find.certainty_percent >= one.find.certainty_percent + _BETTER_PERCENT:
            one.find = find
            one.shown, one.jpeg = _pictured(picture, find.box)
        elif seconds - one.told < _TELL_SECONDS:
            return
        one.told = seconds
        write_picture(one.path, one.head(where), one.jpeg)


def _surest(finds: Sequence[Find]) -> Iterator[Find]:
    """Yield one find for each subject of a frame."""
    best: dict[str, Find] = {}
    for find in sorted(finds, key=lambda find: find.certainty_percent):
        best[find.subject] = find
    yield from best.values()


def _pictured(picture: Picture, box: Box) -> tuple[Document, bytes]:
    """Return the find with the scene around it, and where it lies in that."""
    width = max(box.width * (1 + 2 * _AROUND), _LEAST_SHARE)
    height = max(box.height * (1 + 2 * _AROUND), _LEAST_SHARE)
    # All of one shape, as far as the frame allows it: whoever lists them cuts nothing off.
    sides = picture.width_px / picture.height_px / _SHAPE
    width, height = min(1.0, max(width, height / sides)), min(1.0, max(height, width * sides))
    part = Box(
        left=min(max(0.0, box.center.x - width / 2), 1 - width),
        top=min(max(0.0, box.center.y - height / 2), 1 - height),
        width=width,
        height=height,
    )
    width_px, height_px = width * picture.width_px, height * picture.height_px
    scale = min(1.0, _PICTURE_PX / max(width_px, height_px))
    rgb = picture.rgb(
        part,
        width_px=max(1, round(width_px * scale)),
        height_px=max(1, round(height_px * scale)),
    )
    inside = Box(
        left=(box.left - part.left) / part.width,
        top=(box.top - part.top) / part.height,
        width=box.width / part.width,
        height=box.height / part.height,
    )
    return upper_box(inside), encode_jpeg(rgb, quality=_QUALITY)
