"""What can go wrong while a source is sent into a stream.

::

    ProducerError
    ├── SourceError      the source cannot be opened or read
    ├── EndpointError    the endpoint does not answer
    └── RefusedError     the service said no, and repeating will not help
"""

from __future__ import annotations

from streamd.errors import StreamdError

__all__ = ["EndpointError", "ProducerError", "RefusedError", "SourceError"]


class ProducerError(StreamdError):
    """Root; ``hint`` says what the user can do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class SourceError(ProducerError):
    """The source cannot be opened, has no video, or broke while it was read."""


class EndpointError(ProducerError):
    """Nothing answers at the endpoint, or the connection broke; worth another try."""


class RefusedError(ProducerError):
    """The service refused; ``code`` is its error code."""

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
