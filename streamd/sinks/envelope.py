"""The envelope of a notification, as an SNS topic hands it on."""

from __future__ import annotations

import uuid
from datetime import datetime

from streamd.clock import utc_from_epoch
from streamd.records.items import EVENT_ID, SUBJECT, OutboxItem
from streamd.records.values import encode

__all__ = ["message_id", "notification_envelope"]

_NAMESPACE = uuid.UUID("0e3c1e0c-6a0b-5d8e-8f0d-9a4f3c2b7e15")


def notification_envelope(item: OutboxItem, *, now: datetime) -> bytes:
    """Return ``{"TopicArn","Subject","Message","MessageId","Timestamp"}``.

    Args:
        item: A notification.
        now: The Timestamp of one that was never in an outbox; else it is the time it came
            there, which is the same for every repeat.

    Raises:
        UnicodeDecodeError: If the message is not UTF-8.

    """
    at = now if item.kept_ms is None else utc_from_epoch(item.kept_ms / 1000)
    return encode(
        {
            "TopicArn": item.target,
            "Subject": item.attributes.get(SUBJECT, ""),
            "Message": item.body.decode(),
            "MessageId": message_id(item),
            "Timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        }
    )


def message_id(item: OutboxItem) -> str:
    """Return the id that every repeat of a notification has; SNS itself would make one up."""
    known = item.attributes.get(EVENT_ID)
    return known or str(uuid.uuid5(_NAMESPACE, f"{item.target}\x1f{item.body.hex()}"))
