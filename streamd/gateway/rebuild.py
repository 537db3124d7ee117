"""An archive whose index was damaged or deleted: the index is made again from the segments.

The damaged file is set aside, never removed. What a segment tells is in
:mod:`streamd.gateway.segment_format`; segments that tell nothing are set aside, too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamd.gateway.errors import IndexDamagedError
from streamd.gateway.index import FragmentIndex
from streamd.gateway.segments import SegmentFiles

__all__ = ["open_index", "set_aside"]

logger = logging.getLogger(__name__)

_COMPANIONS: Final = ("-wal", "-shm")
"""SQLite's files beside a database; without it they are of no use, and would confuse a new one."""


@dataclass
class _Found:
    fragments: int = 0
    segments: int = 0
    unreadable: list[Path] = field(default_factory=list)


def open_index(path: Path, files: SegmentFiles) -> FragmentIndex:
    """Open the index, made again from the segments if it is damaged or not there.

    Raises:
        ArchiveError: If it can be neither opened nor made, or is of another version.

    """
    if not path.exists():
        set_aside(path)
        return _rebuilt(path, files, why="it is not there")
    try:
        return FragmentIndex(path, create=False)
    except IndexDamagedError as error:
        aside = set_aside(path)
        logger.error(  # noqa: TRY400  # the reason is in the message
            "the archive's index is damaged; it is set aside and made again from the segments",
            extra={"error": str(error), "kept": str(aside)},
        )
        return _rebuilt(path, files, why=str(error))


def set_aside(path: Path) -> Path:
    """Rename a database and its companions to a name that is free; returns that of the database."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("", *_COMPANIONS):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    return aside


def _rebuilt(path: Path, files: SegmentFiles, *, why: str) -> FragmentIndex:
    # Under another name until it is whole: a kill in between must not leave half an index.
    making = path.with_name(f"{path.name}.making")
    for suffix in ("", *_COMPANIONS):
        making.with_name(making.name + suffix).unlink(missing_ok=True)
    index = FragmentIndex(making)
    try:
        found = _restore(index, files)
    finally:
        index.close()
    making.rename(path)
    if found.segments or found.unreadable:
        logger.error(
            "the archive's index was made again from its segments",
            extra={
                "reason": why,
                "fragments": found.fragments,
                "segments": found.segments,
                "unreadable_segments": len(found.unreadable),
            },
        )
    return FragmentIndex(path)


def _restore(index: FragmentIndex, files: SegmentFiles) -> _Found:
    found = _Found()
    for stream_id, segment_id in sorted(files.sizes()):
        told = files.scan(stream_id, segment_id)
        if told is None or not index.restore_segment(told[0], stream_id, segment_id):
            found.unreadable.append(files.set_aside(stream_id, segment_id))
            continue
        index.restore(told[1])
        found.fragments += len(told[1])
        found.segments += 1
    return found
