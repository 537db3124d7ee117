"""What ends a session early."""

from __future__ import annotations

from streamd.errors import StreamdError

__all__ = ["SessionError", "SessionFailedError"]


class SessionError(StreamdError):
    """A session cannot go on."""


class SessionFailedError(SessionError):
    """The session ends FAILED; the text becomes the processor's StatusMessage."""
