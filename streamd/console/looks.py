"""Who looked at faces through the console, in the audit log: once in a while, not at every frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from streamd import audit
from streamd.access import OK, identity_of
from streamd.config import AwsSettings

__all__ = ["Looks"]

AGAIN_SECONDS: Final = 600.0
"""Who still looks after this time leaves another line."""
_MAX_KNOWN: Final = 4096


class Looks:
    """Notes looks."""

    def __init__(self, *, aws: AwsSettings, monotonic: Callable[[], float]) -> None:
        self._aws = aws
        self._monotonic = monotonic
        self._noted: dict[tuple[str, str | None, str], float] = {}

    def note(self, operation: str, resource: str, request: web.Request, request_id: str) -> None:
        """Write a line, unless this caller has left the same one just now."""
        identity = identity_of(request, self._aws)
        look = operation, identity.access_key_id, resource
        now = self._monotonic()
        if now - self._noted.get(look, float("-inf")) < AGAIN_SECONDS:
            return
        if len(self._noted) >= _MAX_KNOWN:
            self._noted.clear()
        self._noted[look] = now
        audit.record(
            operation=f"console:{operation}",
            result=OK,
            resources=[resource],
            identity=identity,
            peer=request.remote,
            request_id=request_id,
        )
