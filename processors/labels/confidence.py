"""From a network's score to a confidence in percent that means the same for every pack.

Scores of different networks do not compare: one detector is at its best from 0.35, another
from 0.5, and few reach 0.9 on a perfectly clear object. The wire has one number, 0 to 100, its
default MinConfidence is 50, and users set 75 to 90 where they want few false alarms. So each
pack names two scores for each label, read off its precision and recall on labelled pictures:

* ``threshold``: the working point recommended for it, told as 50 %;
* ``sure``: from here on almost nothing is wrong, told as 90 %.

Between 0, ``threshold``, ``sure`` and 1 the confidence is linear in the score, so it rises
with the score everywhere and can be turned back. It is a scale of trust, not a probability:
50 % does not say that every second one is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SURE_PERCENT", "THRESHOLD_PERCENT", "ScoreCurve"]

THRESHOLD_PERCENT = 50.0
SURE_PERCENT = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreCurve:
    """One label's scores of one network as confidence."""

    threshold: float
    """The score told as 50 %."""
    sure: float
    """The score told as 90 %."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < self.sure < 1:
            raise ValueError(
                f"needs 0 < threshold < sure < 1, got threshold {self.threshold}, sure {self.sure}"
            )

    def percent(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the confidence for scores, 0 to 100."""
        return np.asarray(np.interp(scores, self._scores, _PERCENTS), dtype=np.float64)

    def score(self, percent: float) -> float:
        """Return the score for a confidence, the inverse of :meth:`percent`."""
        return float(np.interp(percent, _PERCENTS, self._scores))

    @property
    def _scores(self) -> tuple[float, float, float, float]:
        return 0.0, self.threshold, self.sure, 1.0


_PERCENTS = (0.0, THRESHOLD_PERCENT, SURE_PERCENT, 100.0)
