"""What the embedded Kinesis Video raises by itself.

::

    ArchiveError                  the archive cannot write or read: disk full, input/output error
    ├── ArchiveUnavailableError   S3 does not answer; it may later
    ├── IndexDamagedError         the index cannot be read; it can be made again
    ├── FragmentGoneError         retention took the fragment meanwhile
    └── FragmentDamagedError      stored bytes are not those that were written
    MediaFaultError               a producer's media breaks a rule of PutMedia
"""

from __future__ import annotations

from streamd.errors import StreamdError
from streamd.kvs.acks import ErrorCode

__all__ = [
    "ArchiveError",
    "ArchiveUnavailableError",
    "FragmentDamagedError",
    "FragmentGoneError",
    "IndexDamagedError",
    "MediaFaultError",
]


class ArchiveError(StreamdError):
    """The archive cannot write or read; the message carries the system's reason."""


class ArchiveUnavailableError(ArchiveError):
    """S3 cannot be asked what it holds of a stream, and guessing would be wrong."""


class IndexDamagedError(ArchiveError):
    """The archive's index is no database, or one with damaged pages."""


class FragmentGoneError(ArchiveError):
    """The fragment was there a moment ago; retention or DeleteStream took it."""

    def __init__(self, segment_id: int) -> None:
        super().__init__(f"segment {segment_id} is no longer archived")
        self.segment_id = segment_id


class FragmentDamagedError(ArchiveError):
    """The stored bytes of a fragment are not those that were written."""

    def __init__(self, number: str, reason: str) -> None:
        super().__init__(f"fragment {number} is damaged: {reason}")
        self.number = number
        self.reason = reason
        """``cut off`` or ``checksum``."""


class MediaFaultError(StreamdError, ValueError):
    """What a producer sent breaks a rule of PutMedia; it is told so by an ERROR."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail
