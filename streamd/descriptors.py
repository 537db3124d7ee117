"""File descriptors: as many as the system grants, and some kept back from strangers' connections."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["KEPT_BACK", "connections_allowed", "take_all"]

KEPT_BACK = 160
"""For the store's connections, the archive's files, the workers' pipes and models being read."""


def take_all() -> None:
    """Raise the soft limit to the hard one: 1024 is from a time of select(), which is not used."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # A system that lies about its hard limit leaves us what we had.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_allowed() -> int:
    """Return how many connections may be open now without starving the rest of the process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**31
    return max(soft // 4, soft - KEPT_BACK)
