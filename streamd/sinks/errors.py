"""What a sink may answer instead of an acknowledgement.

::

    SinkError                   (StreamdError)
    ├── SinkUnavailableError    try again later: broker away, throttled, disk full
    ├── SinkRejectedError       these items will never be taken: poison
    └── SinkGoneError           the target or the right to it is missing: the session has FAILED
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamd.errors import StreamdError

__all__ = ["SinkError", "SinkGoneError", "SinkRejectedError", "SinkUnavailableError"]


class SinkError(StreamdError):
    """Not every item of a call was acknowledged."""

    def __init__(self, message: str, *, settled: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.settled = frozenset(settled)
        """Positions, in the call's items, of those that are acknowledged all the same."""


class SinkUnavailableError(SinkError):
    """The sink cannot take items now; those not settled are to be sent again, in order."""

    def __init__(
        self,
        message: str,
        *,
        settled: Iterable[int] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, settled=settled)
        self.retry_after_seconds = retry_after_seconds
        """How long the sink asks to be left alone, where it says."""


class SinkRejectedError(SinkError):
    """The sink can do nothing with some items, and never will."""

    def __init__(self, rejected: Mapping[int, str], *, settled: Iterable[int] = ()) -> None:
        reasons = "; ".join(dict.fromkeys(rejected.values()))
        super().__init__(f"{len(rejected)} refused: {reasons}", settled=settled)
        self.rejected = dict(rejected)
        """Position to reason. Items neither here nor settled are to be sent again."""


class SinkGoneError(SinkError):
    """The target, or the right to write to it, is missing; the message is a StatusMessage."""
