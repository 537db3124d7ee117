"""The last analysed frame of a stream processor, in a file for as long as somebody watches.

Who watches touches a file, and touches it again within :data:`LEASE_SECONDS`; the process that
analyses looks at that file's age, and writes the frame while it is young. Nobody watching costs
a look at a missing file a second. Frames are taken away when nobody watches any more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from processors.draw import encode_jpeg
from processors.geometry import WHOLE_PICTURE
from processors.picture import Picture
from streamd.clock import Clock
from streamd.pipeline.finds import Find
from streamd.pipeline.picture_files import PictureFile, read_picture, write_picture
from streamd.records import FramePosition
from streamd.records.values import Document, epoch_seconds, offset_seconds

__all__ = ["LEASE_SECONDS", "FramePublisher", "LiveFrames", "fitted", "position_document"]

LEASE_SECONDS: Final = 5.0
"""A watcher that is silent this long has left."""
_WIDTH_PX: Final = 960
_HEIGHT_PX: Final = 960
_QUALITY: Final = 78
_FRAME_SECONDS: Final = 0.2
"""A few frames a second do for eyes."""
_LOOK_SECONDS: Final = 1.0
"""How often is looked whether somebody watches, while nobody does."""


class LiveFrames:
    """The files of all stream processors; used by the processes of one daemon (blocking)."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def watch(self, key: str) -> bool:
        """Ask for frames for a while; returns whether nobody watched before.

        Raises:
            OSError: If the directory cannot be written.

        """
        is_new = not self.is_watched(key)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lease = self._lease(key)
        now = self._clock.epoch()
        os.close(os.open(lease, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.utime(lease, (now, now))
        return is_new

    def is_watched(self, key: str) -> bool:
        """Whether somebody wants to see frames now."""
        try:
            touched = self._lease(key).stat().st_mtime
        except OSError:
            return False
        # A time to come is one of a clock that was ahead.
        return abs(self._clock.epoch() - touched) < LEASE_SECONDS

    def publish(self, key: str, head: Document, jpeg: bytes) -> None:
        """Replace the frame.

        Raises:
            OSError: If it cannot be written.

        """
        write_picture(self._frame(key), head, jpeg)

    def read(self, key: str) -> PictureFile | None:
        """Return the last frame, ``None`` where there is none yet."""
        return read_picture(self._frame(key))

    def withdraw(self, key: str) -> None:
        """Take the frame away; may be called when there is none."""
        with contextlib.suppress(OSError):
            self._frame(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Take away what nobody watches, also of processes that died."""
        for path in self._directory.glob("*"):
            # What begins with a dot is being written now.
            if path.name[0] != "." and not self.is_watched(path.name.rpartition(".")[0]):
                with contextlib.suppress(OSError):
                    path.unlink()

    def clear(self) -> None:
        """Take everything away."""
        for path in self._directory.glob("*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _lease(self, key: str) -> Path:
        return self._directory / f"{key}.watch"

    def _frame(self, key: str) -> Path:
        return self._directory / f"{key}.frame"


class FramePublisher:
    """Publishes the frames of one session; used by one thread at a time."""

    def __init__(self, frames: LiveFrames, key: str, *, clock: Clock) -> None:
        self._frames = frames
        self._key = key
        self._clock = clock
        self._is_watched = False
        self._looked_at = float("-inf")
        self._published_at = float("-inf")

    def note(self, picture: Picture, position: FramePosition, finds: Sequence[Find]) -> None:
        """Show a frame, if somebody watches and has not just seen another.

        Raises:
            OSError: If it cannot be written.

        """
        now = self._clock.monotonic()
        if not self._wants(now) or now - self._published_at < _FRAME_SECONDS:
            return
        self._published_at = now
        width, height = fitted(picture, width_px=_WIDTH_PX, height_px=_HEIGHT_PX)
        rgb = picture.rgb(WHOLE_PICTURE, width_px=width, height_px=height)
        head: Document = {
            "AnalyzedAt": round(self._clock.epoch(), 3),
            **position_document(position),
            "Finds": [find.document() for find in finds],
        }
        self._frames.publish(self._key, head, encode_jpeg(rgb, quality=_QUALITY))

    def close(self) -> None:
        """Take the frame away: what was live is so no more."""
        self._frames.withdraw(self._key)

    def _wants(self, now: float) -> bool:
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            was_watched, self._is_watched = self._is_watched, self._frames.is_watched(self._key)
            if was_watched and not self._is_watched:
                self._frames.withdraw(self._key)
        return self._is_watched


def fitted(picture: Picture, *, width_px: int, height_px: int) -> tuple[int, int]:
    """Return the picture's size, reduced to fit into another with its sides in proportion."""
    scale = min(1.0, width_px / picture.width_px, height_px / picture.height_px)
    return max(1, round(picture.width_px * scale)), max(1, round(picture.height_px * scale))


def position_document(position: FramePosition) -> Document:
    """Return where a frame lies, in AWS's spelling."""
    return {
        "FragmentNumber": position.fragment_number,
        "ServerTimestamp": epoch_seconds(position.server_timestamp_ms),
        "ProducerTimestamp": epoch_seconds(position.producer_timestamp_ms),
        "FrameOffsetInSeconds": offset_seconds(position.frame_offset_ns),
    }
