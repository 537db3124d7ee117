"""Small files of a picture and what is said about it: a line of JSON, then the JPEG.

One file, so that the two are always of the same frame. Faces are for this user's eyes: files are
made with mode 0600 in directories with mode 0700, and replaced in one step.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamd.records import encode

__all__ = ["PictureFile", "picture_key", "read_head", "read_picture", "write_picture"]

_MAX_HEAD_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """What a file says and shows."""

    head: Mapping[str, Any]
    jpeg: bytes


def picture_key(account_id: str, processor_name: str, *, created_ms: int) -> str:
    """Return what belongs to one stream processor is filed under: a name safe for a file.

    The time of its creation keeps it from whoever makes one of the same name later.
    """
    return f"{account_id}-{created_ms}-{processor_name}"


def write_picture(path: Path, head: Mapping[str, object], jpeg: bytes) -> None:
    """Write or replace a file.

    Raises:
        OSError: If it cannot be written.

    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode(head) + b"\n" + jpeg)
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def read_picture(path: Path) -> PictureFile | None:
    """Return what a file holds; ``None`` if it is gone or is no such file."""
    try:
        line, _, jpeg = path.read_bytes().partition(b"\n")
        return PictureFile(head=_parsed(line), jpeg=jpeg)
    except (OSError, ValueError):
        return None


def read_head(path: Path) -> Mapping[str, Any] | None:
    """Return what a file says, without its picture; ``None`` if it is gone or no such file."""
    try:
        with path.open("rb") as file:
            return _parsed(file.readline(_MAX_HEAD_BYTES))
    except (OSError, ValueError):
        return None


def _parsed(line: bytes) -> Mapping[str, Any]:
    head = json.loads(line)
    if not isinstance(head, dict):
        raise ValueError("the first line is no JSON object")  # noqa: TRY004  # as of bad JSON
    return head
