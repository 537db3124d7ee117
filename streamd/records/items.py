"""What leaves the daemon: one item of the outbox, addressed to a sink, complete in itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from streamd.records.values import encode

__all__ = [
    "ARRIVED_MS",
    "EVENT_ID",
    "JSON",
    "KMS_KEY_ID",
    "SUBJECT",
    "Kind",
    "OutboxItem",
    "notification_item",
    "object_item",
    "record_item",
]

Kind = Literal["kinesis", "s3", "sns"]
"""Which of a stream processor's outputs an item is for, whatever stands for it here."""

JSON = "application/json"

ARRIVED_MS = "arrived_ms"
"""Attribute: when the frame arrived, milliseconds since 1970; for the latency metric."""
EVENT_ID = "event_id"
"""Attribute: the same for every repeat of an item."""
KMS_KEY_ID = "kms_key_id"
"""Attribute of S3 objects: encrypt with this key."""
SUBJECT = "subject"
"""Attribute of notifications."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxItem:
    """One result on its way to a sink."""

    kind: Kind
    target: str
    """ARN of the data stream, name of the bucket, or ARN of the topic."""
    key: str
    """Object key; for records and notifications the stream processor's name."""
    content_type: str
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    kept_ms: int | None = field(default=None, compare=False)
    """When the outbox took it, milliseconds since 1970; ``None`` before that."""


def record_item(
    document: Mapping[str, object],
    *,
    stream_arn: str,
    processor_name: str,
    event_id: str,
    arrived_ms: int | None = None,
) -> OutboxItem:
    """Address a JSON record to a Kinesis data stream."""
    return OutboxItem(
        kind="kinesis",
        target=stream_arn,
        key=processor_name,
        content_type=JSON,
        body=encode(document),
        attributes=_attributes(event_id=event_id, arrived_ms=arrived_ms),
    )


def object_item(
    body: bytes,
    *,
    bucket: str,
    key: str,
    content_type: str,
    kms_key_id: str | None = None,
    arrived_ms: int | None = None,
) -> OutboxItem:
    """Address an object to an S3 bucket."""
    return OutboxItem(
        kind="s3",
        target=bucket,
        key=key,
        content_type=content_type,
        body=body,
        attributes=_attributes(kms_key_id=kms_key_id, arrived_ms=arrived_ms),
    )


def notification_item(
    document: Mapping[str, object],
    *,
    topic_arn: str,
    processor_name: str,
    subject: str,
    event_id: str,
    arrived_ms: int | None = None,
) -> OutboxItem:
    """Address a JSON notification to an SNS topic."""
    return OutboxItem(
        kind="sns",
        target=topic_arn,
        key=processor_name,
        content_type=JSON,
        body=encode(document),
        attributes=_attributes(event_id=event_id, subject=subject, arrived_ms=arrived_ms),
    )


def _attributes(
    *,
    event_id: str | None = None,
    kms_key_id: str | None = None,
    subject: str | None = None,
    arrived_ms: int | None = None,
) -> dict[str, str]:
    values = {
        EVENT_ID: event_id,
        KMS_KEY_ID: kms_key_id,
        SUBJECT: subject,
        ARRIVED_MS: None if arrived_ms is None else str(arrived_ms),
    }
    return {name: value for name, value in values.items() if value is not None}
