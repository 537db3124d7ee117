"""Items of an outbox, and what is in it."""

from __future__ import annotations

from streamd.pipeline.outbox import Outbox, OutboxItem

MANY = 10**9


def item(name: str, *, size: int = 0) -> OutboxItem:
    return OutboxItem(
        kind="kinesis",
        target="arn:aws:kinesis:us-east-1:000000000000:stream/faces",
        key=name,
        content_type="application/json",
        body=b"x" * size,
        attributes={"event_id": name},
    )


def keys(outbox: Outbox) -> list[str]:
    return [found.key for _, found in outbox.peek(MANY, MANY)]
