"""Back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["Backoff"]


@dataclass(kw_only=True)
class Backoff:
    """Delays that grow from attempt to attempt until :meth:`reset`."""

    base_seconds: float = 0.1
    cap_seconds: float = 10.0
    _attempt: int = field(default=0, init=False)

    def next_delay(self) -> float:
        """Return how long to wait before the next attempt, in seconds."""
        ceiling = min(self.cap_seconds, self.base_seconds * 2**self._attempt)
        self._attempt = min(self._attempt + 1, 32)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311  # jitter, not a secret

    def reset(self) -> None:
        """Start again from the base: something worked."""
        self._attempt = 0
