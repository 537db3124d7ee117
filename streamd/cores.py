"""Processor cores: those this process may use, by its affinity and by its container's limit."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

__all__ = ["usable_cores"]

CGROUPS: Final = Path("/sys/fs/cgroup")
"""Where a container sees its own control group."""


def usable_cores(cgroups: Path = CGROUPS) -> int:
    """Return how many threads can run at once, at least 1.

    Args:
        cgroups: The control group's files: ``cpu.max`` (version 2: "QUOTA PERIOD", or "max"), or
            ``cpu/cpu.cfs_quota_us`` and ``cpu/cpu.cfs_period_us`` (version 1; -1 is no limit).
            Kubernetes writes ``resources.limits.cpu`` there.

    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = _limit(cgroups)
    # 1.5 cores are two threads, one of which waits now and then.
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def _limit(cgroups: Path) -> float | None:
    words = _words(cgroups / "cpu.max") or [
        *_words(cgroups / "cpu" / "cpu.cfs_quota_us"),
        *_words(cgroups / "cpu" / "cpu.cfs_period_us"),
    ]
    try:
        quota, period = map(int, words)
    except ValueError:
        return None  # "max", or no such files
    return quota / period if quota > 0 and period > 0 else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
