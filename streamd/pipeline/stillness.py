"""Frames that need not be looked at: nothing has changed since one that showed nothing. Pure.

A frame is compared, inside the regions of interest, with the last one a network has looked at
and found nothing in, not with the frame before: what moves slowly adds up until it shows. A
network looks again after a second whatever is seen, and after ever longer times, up to sixteen
seconds, while it finds nothing and nothing changes. While there is something in view it looks
at every frame.
"""

from __future__ import annotations

from typing import Final

from processors.picture import Picture
from processors.roi import Regions
from streamd.gate.scene import HEIGHT_PX, WIDTH_PX, Luma, Scene, block_mask

__all__ = ["Stillness"]

LOOK_SECONDS: Final = 1.0
"""The longest time without a look, at first."""
LONGEST_SECONDS: Final = 16.0
SURELY_STILL: Final = 0.7
"""Of the change that counts as motion."""


class Stillness:
    """Remembers the last empty frame of one session's stream."""

    def __init__(self, regions: Regions) -> None:
        self._crop, mask = block_mask(regions)
        self._scene = Scene(mask)
        self._empty: Luma | None = None
        self._empty_seconds = 0.0
        self._look_seconds = LOOK_SECONDS
        self._has_changed = True

    def holds(self, picture: Picture, seconds: float) -> bool:
        """Return whether the frame can only show what the last empty one showed: nothing.

        Args:
            picture: The frame.
            seconds: Its media time; a step back is another time.

        """
        self._has_changed = (
            self._empty is None
            or seconds < self._empty_seconds
            or self._scene.change(self._luma(picture), self._empty) >= SURELY_STILL
        )
        return not self._has_changed and seconds - self._empty_seconds < self._look_seconds

    def looked(self, picture: Picture, seconds: float, *, has_found: bool) -> None:
        """Take note of what a network found in the frame of the last :meth:`holds`."""
        if has_found or self._has_changed:
            self._look_seconds = LOOK_SECONDS
        else:
            self._look_seconds = min(2 * self._look_seconds, LONGEST_SECONDS)
        if has_found:
            self._empty = None
            return
        luma = self._luma(picture)
        if self._empty is not None:
            self._scene.watch(luma, self._empty)
        self._empty, self._empty_seconds = luma, seconds

    def _luma(self, picture: Picture) -> Luma:
        return picture.luma(self._crop, width_px=WIDTH_PX, height_px=HEIGHT_PX)
