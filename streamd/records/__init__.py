"""Records: what the daemon says about video, as the JSON documents AWS's consumers read. Pure."""

from streamd.records.items import (
    Kind,
    OutboxItem,
    notification_item,
    object_item,
    record_item,
)
from streamd.records.values import Document, FramePosition, encode, event_id

__all__ = [
    "Document",
    "FramePosition",
    "Kind",
    "OutboxItem",
    "encode",
    "event_id",
    "notification_item",
    "object_item",
    "record_item",
]
