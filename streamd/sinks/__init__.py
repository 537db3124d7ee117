"""Sinks: where results go. Each knows the limits of its own service and nothing of the others."""

from streamd.sinks.errors import (
    SinkError,
    SinkGoneError,
    SinkRejectedError,
    SinkUnavailableError,
)
from streamd.sinks.router import SinkRouter, build_sinks
from streamd.sinks.sink import Sink

__all__ = [
    "Sink",
    "SinkError",
    "SinkGoneError",
    "SinkRejectedError",
    "SinkRouter",
    "SinkUnavailableError",
    "build_sinks",
]
