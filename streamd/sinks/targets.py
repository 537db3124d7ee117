"""Names inside the ARNs that outputs carry, and AWS's words where one leads nowhere.

Statuses: *Developer Guide*, "Troubleshooting streaming video" documents the data stream's texts;
those for topics and buckets follow its pattern, as AWS documents none.
"""

from __future__ import annotations

import re

from streamd.sinks.errors import SinkGoneError

__all__ = [
    "bucket_denied",
    "bucket_missing",
    "stream_denied",
    "stream_missing",
    "stream_name",
    "topic_denied",
    "topic_missing",
    "topic_name",
]

# Kinesis StreamName 1-128, SNS topic name 1-256; neither may be a path of its own.
_STREAM = re.compile(r"stream/((?!\.{1,2}$)[a-zA-Z0-9_.-]{1,128})")
_TOPIC = re.compile(r"[a-zA-Z0-9_-]{1,256}(\.fifo)?")


def stream_name(arn: str) -> str:
    """Return NAME of ``arn:aws:kinesis:REGION:ACCOUNT:stream/NAME``.

    Raises:
        SinkGoneError: If the ARN names no data stream.

    """
    match = _STREAM.fullmatch(_resource(arn))
    if match is None:
        raise stream_missing(arn)
    return match.group(1)


def topic_name(arn: str) -> str:
    """Return NAME of ``arn:aws:sns:REGION:ACCOUNT:NAME``.

    Raises:
        SinkGoneError: If the ARN names no topic.

    """
    name = _resource(arn)
    if _TOPIC.fullmatch(name) is None:
        raise topic_missing(arn)
    return name


def stream_missing(arn: str) -> SinkGoneError:
    """Return the error for a data stream that does not exist."""
    name = _resource(arn).removeprefix("stream/")
    return SinkGoneError(f"Stream {name} under account {_account(arn)} not found")


def stream_denied() -> SinkGoneError:
    """Return the error for a data stream that may not be written to."""
    return SinkGoneError("Access denied to Kinesis Data")


def topic_missing(arn: str) -> SinkGoneError:
    """Return the error for a topic that does not exist."""
    return SinkGoneError(f"Topic {_resource(arn)} under account {_account(arn)} not found")


def topic_denied() -> SinkGoneError:
    """Return the error for a topic that may not be published to."""
    return SinkGoneError("Access denied to SNS")


def bucket_missing(bucket: str) -> SinkGoneError:
    """Return the error for a bucket that does not exist."""
    return SinkGoneError(f"Bucket {bucket} not found")


def bucket_denied(bucket: str) -> SinkGoneError:
    """Return the error for a bucket, or its key, that may not be used."""
    return SinkGoneError(f"Access denied to S3 bucket {bucket}")


def _resource(arn: str) -> str:
    return arn.split(":", 5)[-1]


def _account(arn: str) -> str:
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 else ""
