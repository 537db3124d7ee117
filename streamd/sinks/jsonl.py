"""Files of JSON lines that several processes append to, each line whole or not there at all.

A lock on the file keeps writers apart; lines go out in one ``write`` with ``O_APPEND``. A write
the disk cut short is taken back. A process killed inside its write may leave half a line behind,
which no one was promised: the next writer cuts it off.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["append_lines"]

_TAIL_BLOCK_BYTES = 64 * 1024


def append_lines(
    path: Path, lines: Sequence[bytes], *, mode: int = 0o644, max_bytes: int | None = None
) -> bool:
    """Append lines (each without its newline) to the file, all of them or none.

    The data is handed to the operating system, not forced to the disk: it survives the death of
    any process, not a power failure.

    Args:
        path: The file; its directory is made if missing.
        lines: In their order.
        mode: Rights of a file that is made.
        max_bytes: A file that would grow beyond it becomes ``FILE.1`` first, in place of an
            older one of that name; ``None``: it grows for ever.

    Returns:
        Whether lines of long ago were dropped that way.

    Raises:
        OSError: If they cannot be written; the file is as it was.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(line + b"\n" for line in lines)
    dropped = False
    while True:
        # Opened anew each time: whoever rotates the file away gets a new one.
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(path, file):
                # Rotated away while this process waited for the lock.
                continue
            size = _mend_tail(file)
            if max_bytes is not None and size > 0 and size + len(data) > max_bytes:
                older = path.with_name(f"{path.name}.1")
                dropped = older.exists()
                path.replace(older)
                continue
            _write_whole(file, data, size)
            return dropped
        finally:
            os.close(file)


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write_whole(file: int, data: bytes, size: int) -> None:
    try:
        written = os.write(file, data)
        while written < len(data):
            # Only a full disk or a limit cuts a write to a regular file short.
            written += os.write(file, data[written:])
    except OSError:
        os.ftruncate(file, size)
        raise


def _mend_tail(file: int) -> int:
    """Make the file end in a newline and return its size."""
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return size
    start = _last_line_start(file, size)
    if _is_json(os.pread(file, size - start, start)):
        # Someone else's line, complete but for its newline.
        return size + os.write(file, b"\n")
    os.ftruncate(file, start)
    return start


def _last_line_start(file: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _TAIL_BLOCK_BYTES)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
