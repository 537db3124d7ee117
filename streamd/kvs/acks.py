"""PutMedia acknowledgements: one JSON object a line, in both directions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final

from streamd.errors import StreamdError

__all__ = ["AckError", "AckReader", "Acknowledgement", "ErrorCode", "EventType", "to_line"]

MAX_LINE_BYTES: Final = 1024
"""The C producer's parser takes no longer one."""
SESSION_TIMECODE: Final = -1
"""FragmentTimecode of an error that belongs to no fragment."""


class AckError(StreamdError, ValueError):
    """A server's answer to PutMedia is not a line of acknowledgement."""


class EventType(StrEnum):
    """What happened to a fragment."""

    BUFFERING = "BUFFERING"
    """Its first bytes arrived."""
    RECEIVED = "RECEIVED"
    """It is complete and was read."""
    PERSISTED = "PERSISTED"
    """It is stored; only with a retention above 0."""
    ERROR = "ERROR"
    """It, or the session, failed; the connection closes."""
    IDLE = "IDLE"
    """Nothing is arriving on the open request."""


class ErrorCode(IntEnum):
    """ErrorCode by ErrorId (developer guide, PutMedia)."""

    STREAM_READ_ERROR = 4000
    MAX_FRAGMENT_SIZE_REACHED = 4001
    MAX_FRAGMENT_DURATION_REACHED = 4002
    MAX_CONNECTION_DURATION_REACHED = 4003
    FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS = 4004
    MORE_THAN_ONE_TRACK_FOUND = 4005
    INVALID_MKV_DATA = 4006
    INVALID_PRODUCER_TIMESTAMP = 4007
    STREAM_NOT_ACTIVE = 4008
    FRAGMENT_METADATA_LIMIT_REACHED = 4009
    TRACK_NUMBER_MISMATCH = 4010
    FRAMES_MISSING_FOR_TRACK = 4011
    MORE_THAN_ALLOWED_TRACKS_FOUND = 4012
    MIN_FRAGMENT_DURATION_REACHED = 4013
    """In AWS's quotas, which give no id: this is the next free one."""
    KMS_KEY_ACCESS_DENIED = 4500
    KMS_KEY_DISABLED = 4501
    KMS_KEY_VALIDATION_ERROR = 4502
    KMS_KEY_UNAVAILABLE = 4503
    KMS_KEY_INVALID_USAGE = 4504
    KMS_KEY_INVALID_STATE = 4505
    KMS_KEY_NOT_FOUND = 4506
    STREAM_DELETED = 4507
    INTERNAL_ERROR = 5000
    ARCHIVAL_ERROR = 5001


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledgement:
    """One line; what is ``None`` is not on the wire."""

    event_type: EventType
    fragment_timecode_ms: int | None = None
    """Of the fragment's cluster as the producer sent it; -1 for errors of the session."""
    fragment_number: str | None = None
    """``""`` for errors of the session."""
    error_id: int | None = None
    error_code: str | None = None

    @classmethod
    def error(
        cls,
        code: ErrorCode,
        *,
        fragment_timecode_ms: int = SESSION_TIMECODE,
        fragment_number: str = "",
    ) -> Acknowledgement:
        """An ERROR of a fragment, or of the session where no fragment is given."""
        return cls(
            event_type=EventType.ERROR,
            fragment_timecode_ms=fragment_timecode_ms,
            fragment_number=fragment_number,
            error_id=code.value,
            error_code=code.name,
        )


_MEMBERS: Final = (
    ("FragmentTimecode", "fragment_timecode_ms", int),
    ("FragmentNumber", "fragment_number", str),
    ("ErrorId", "error_id", int),
    ("ErrorCode", "error_code", str),
)


def to_line(acknowledgement: Acknowledgement) -> bytes:
    """Return the line a server sends, with its newline."""
    document: dict[str, Any] = {"EventType": acknowledgement.event_type.value}
    for key, field, _ in _MEMBERS:
        value = getattr(acknowledgement, field)
        if value is not None:
            document[key] = value
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


class AckReader:
    """Takes a PutMedia response as it arrives and returns the acknowledgements in it."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Acknowledgement]:
        """Take the next bytes and return the complete lines.

        Raises:
            AckError: If a line is too long or is not an acknowledgement.

        """
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise AckError(f"an acknowledgement of more than {MAX_LINE_BYTES} bytes")
        self._buffer[:] = rest
        return [_parse(line) for line in lines if line.strip()]

    def close(self) -> list[Acknowledgement]:
        """Return the last line where its newline is missing.

        Raises:
            AckError: If it is cut off.

        """
        rest = bytes(self._buffer).strip()
        self._buffer.clear()
        return [_parse(rest)] if rest else []


def _parse(line: bytes) -> Acknowledgement:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AckError(f"acknowledgement {line[:80]!r} is not JSON") from error
    if not isinstance(document, dict):
        raise AckError(f"acknowledgement {line[:80]!r} is not an object")
    document = document.get("Acknowledgement", document)  # the wrapper of the API page
    try:
        values: dict[str, Any] = {
            field: kind(document[key])
            for key, field, kind in _MEMBERS
            if document.get(key) is not None
        }
        return Acknowledgement(event_type=EventType(document["EventType"]), **values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AckError(f"acknowledgement {line[:80]!r} has no known EventType") from error
