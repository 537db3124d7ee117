"""A network that answers what a test wrote down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.models.detector import Candidates
from processors.picture import ArrayPicture

__all__ = ["FakeNetwork", "blank_picture", "rows_of"]


class FakeNetwork:
    """Takes one picture input and answers fixed outputs; remembers what it was fed."""

    def __init__(
        self,
        outputs: Sequence[NDArray[Any]],
        inputs: Mapping[str, tuple[int | str | None, ...]] | None = None,
    ) -> None:
        self.inputs: Mapping[str, tuple[int | str | None, ...]] = inputs or {
            "images": (1, 3, None, None)
        }
        self.outputs = list(outputs)
        self.fed: dict[str, NDArray[Any]] = {}

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Answer the fixed outputs."""
        self.fed = inputs
        return self.outputs


def blank_picture(width_px: int = 64, height_px: int = 64, value: int = 0) -> ArrayPicture:
    """Return a picture of one grey."""
    return ArrayPicture(np.full((height_px, width_px, 3), value, dtype=np.uint8))


def rows_of(found: Candidates) -> list[tuple[int, float, list[float]]]:
    """Return class, score and edges of each candidate, rounded, best first."""
    rows = zip(found.classes, found.scores, found.edges, strict=True)
    return sorted(
        ((int(c), round(float(s), 3), [round(float(v), 4) for v in e]) for c, s, e in rows),
        key=lambda row: -row[1],
    )
