"""The root of every error this daemon raises by itself.

::

    StreamdError
    ├── ConfigError            settings that cannot work           (also ValueError)
    ├── ServiceError           an answer to an AWS client          protocol/errors.py
    ├── TransitionError        no row in the lifecycle table       lifecycle.py
    ├── StoreError             the store refused                   store/errors.py
    ├── MkvError, MediaError   video that cannot be read           kvs/mkv.py, ingest/
    ├── SinkError              a result could not be delivered     sinks/errors.py
    └── SessionError           a session cannot go on              pipeline/
"""

from __future__ import annotations

__all__ = ["ConfigError", "StreamdError"]


class StreamdError(Exception):
    """Root of the daemon's own errors."""


class ConfigError(StreamdError, ValueError):
    """A setting is unknown, malformed or contradicts another; the message names the key."""
