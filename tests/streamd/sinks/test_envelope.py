"""The envelope of a notification."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

from streamd.records import OutboxItem
from streamd.sinks.envelope import message_id, notification_envelope

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ITEM = OutboxItem(
    kind="sns",
    target="arn:aws:sns:us-east-1:111122223333:porch",
    key="door",
    content_type="application/json",
    body=b'{"a":1}',
    attributes={"event_id": "e-1", "subject": "S"},
)


def test_the_envelope_is_that_of_sns() -> None:
    """Five fields; the message is a string."""
    assert json.loads(notification_envelope(ITEM, now=NOW)) == {
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:porch",
        "Subject": "S",
        "Message": '{"a":1}',
        "MessageId": "e-1",
        "Timestamp": "2026-01-02T03:04:05.678Z",
    }


def test_a_repeat_is_the_same_to_the_byte() -> None:
    """The time is that of the event's way into the outbox, not of the attempt."""
    kept = dataclasses.replace(ITEM, kept_ms=1_700_000_000_123)
    first = notification_envelope(kept, now=NOW)
    assert first == notification_envelope(kept, now=NOW.replace(year=2027))
    assert json.loads(first)["Timestamp"] == "2023-11-14T22:13:20.123Z"


def test_an_event_without_an_id_has_one_all_the_same() -> None:
    """It follows from what is said to whom."""
    plain = dataclasses.replace(ITEM, attributes={})
    other = dataclasses.replace(plain, body=b"{}")
    assert message_id(plain) == message_id(dataclasses.replace(plain, key="x"))
    assert message_id(plain) != message_id(other)
