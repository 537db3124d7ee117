"""Distances between vectors as the similarity percentages users compare with 80."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SimilarityScale"]


@dataclass(frozen=True, kw_only=True)
class SimilarityScale:
    """percent = 100 / (1 + exp(steepness * (distance - middle))), through two measured points.

    80 % lies where at most one in a thousand wrong pairs is nearer, so that the service's
    default threshold means what its users expect; 97 % where two good pictures of one person
    usually are. Both distances belong to the model pack.
    """

    distance_at_80: float
    distance_at_97: float

    def __post_init__(self) -> None:
        if not 0 < self.distance_at_97 < self.distance_at_80:
            raise ValueError(
                f"distances must be positive and fall with the percentage, got "
                f"{self.distance_at_97} at 97 %, {self.distance_at_80} at 80 %"
            )

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> SimilarityScale:
        """Read the scale of a pack."""
        return cls(**table)

    @property
    def _steepness(self) -> float:
        return (_logit(0.97) - _logit(0.80)) / (self.distance_at_80 - self.distance_at_97)

    def percent(self, distance: float) -> float:
        """Return the similarity of two vectors at ``distance``, above 0 and below 100."""
        exponent = self._steepness * (distance - self.distance_at_80) - _logit(0.80)
        return 100 / (1 + math.exp(min(exponent, 700.0)))

    def distance_at(self, percent: float) -> float:
        """Return the largest distance that still reaches ``percent``.

        0 % reaches everything (infinity); what not even a distance of 0 reaches gives a
        negative number, so that nothing matches.
        """
        if percent <= 0:
            return math.inf
        if percent >= 100:
            return -1.0
        return self.distance_at_80 + (_logit(0.80) - _logit(percent / 100)) / self._steepness


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
