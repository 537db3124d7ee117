"""What was learnt of streams lately, so that a short session need not learn it again. Pure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from streamd.gate.calibration import GateProfile

__all__ = ["GateProfiles"]

MOST: Final = 1024
"""Streams remembered; about 10 kB each."""
LONGEST_SECONDS: Final = 3600.0
"""A scene by day is another one at night."""


class GateProfiles:
    """The newest profile of each stream; any thread may ask."""

    def __init__(self) -> None:
        self._profiles: OrderedDict[Hashable, tuple[float, GateProfile]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, *, now: float) -> GateProfile | None:
        """Return what was learnt of a stream within the last hour.

        Args:
            key: Names the stream; ``None`` is a stream nobody knows.
            now: In seconds, of a clock that only goes on.

        """
        with self._lock:
            made, profile = self._profiles.get(key, (0.0, None))
            return profile if profile is not None and now - made <= LONGEST_SECONDS else None

    def put(self, key: Hashable, profile: GateProfile, *, now: float) -> None:
        """Remember what was learnt; beyond the bound the oldest is forgotten."""
        if key is None:
            return
        with self._lock:
            self._profiles[key] = (now, profile)
            self._profiles.move_to_end(key)
            while len(self._profiles) > MOST:
                self._profiles.popitem(last=False)
