"""What can stop the demo."""

from __future__ import annotations

from streamd.errors import StreamdError

__all__ = ["DemoError"]


class DemoError(StreamdError):
    """The demo cannot go on; ``hint`` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
