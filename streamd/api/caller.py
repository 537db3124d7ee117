"""Who calls an operation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Caller"]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The one who made a request, as far as its signature tells."""

    account_id: str
    """Whose resources the request is about; others are invisible to it."""
    access_key_id: str | None = None
    """The key that signed; ``None`` where the daemon takes unsigned requests."""
    request_id: str
    """Names the request in the answer, the log and the audit log."""
