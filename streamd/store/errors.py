"""What the store refuses, and why.

::

    StoreError
    ├── NotFoundError          no such resource                       (also LookupError)
    ├── NameInUseError         the name is taken
    ├── LimitError             one more would be too many
    ├── StaleEpochError        somebody else holds the session, or nobody
    ├── TokenMismatchError     a token of another request
    ├── VersionMismatchError   the resource has changed since the caller read it
    ├── VectorError            a face vector that does not fit its collection  (also ValueError)
    ├── SchemaError            the database belongs to another version
    └── StoreUnavailableError  the database does not answer; try again later
"""

from __future__ import annotations

from streamd.errors import StreamdError

__all__ = [
    "LimitError",
    "NameInUseError",
    "NotFoundError",
    "SchemaError",
    "StaleEpochError",
    "StoreError",
    "StoreUnavailableError",
    "TokenMismatchError",
    "VectorError",
    "VersionMismatchError",
]


class StoreError(StreamdError):
    """Root of the store's errors."""


class NotFoundError(StoreError, LookupError):
    """There is no such resource."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} does not exist")
        self.kind = kind
        """``stream processor``, ``collection``, ``face``, ``user``, ``video stream``,
        ``resource``."""
        self.name = name


class NameInUseError(StoreError):
    """A resource of this kind already has the name."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} already exists")
        self.kind = kind
        self.name = name


class LimitError(StoreError):
    """One more would be over the limit."""

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"limit of {limit} reached: {kind}")
        self.kind = kind
        """What there would be too many of, in the plural."""
        self.limit = limit


class StaleEpochError(StoreError):
    """The session has ended, was deleted, or was claimed by somebody else since."""

    def __init__(self, session_id: str, epoch: int) -> None:
        super().__init__(f"session {session_id} is no longer held with epoch {epoch}")
        self.session_id = session_id
        self.epoch = epoch


class TokenMismatchError(StoreError):
    """The token came with a request of the same operation that had other members."""

    def __init__(self, token: str) -> None:
        super().__init__(f"token {token!r} belongs to another request")
        self.token = token


class VersionMismatchError(StoreError):
    """The resource is no longer at the version the caller expects."""

    def __init__(self, kind: str, name: str, expected: str) -> None:
        super().__init__(f"{kind} {name!r} is not at version {expected!r}")
        self.kind = kind
        self.name = name
        self.expected = expected


class VectorError(StoreError, ValueError):
    """A face vector has another length than its collection's, or is not finite."""


class SchemaError(StoreError):
    """The database was written by a version of streamd this one does not know."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached or does not answer; nothing was changed."""
