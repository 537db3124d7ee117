"""Items addressed to sinks."""

from __future__ import annotations

from streamd.records import OutboxItem, notification_item, object_item, record_item

STREAM_ARN = "arn:aws:kinesis:us-east-1:111122223333:stream/faces"
TOPIC_ARN = "arn:aws:sns:us-east-1:111122223333:porch"


def test_a_record_goes_to_a_stream() -> None:
    """Its key is the processor, which keeps a processor's records in one shard."""
    item = record_item(
        {"a": 1}, stream_arn=STREAM_ARN, processor_name="door", event_id="e1", arrived_ms=1700
    )
    assert item == OutboxItem(
        kind="kinesis",
        target=STREAM_ARN,
        key="door",
        content_type="application/json",
        body=b'{"a":1}',
        attributes={"event_id": "e1", "arrived_ms": "1700"},
    )


def test_an_object_goes_to_a_bucket() -> None:
    """A KMS key travels with it where there is one."""
    item = object_item(
        b"jpeg", bucket="b", key="k.jpg", content_type="image/jpeg", kms_key_id="alias/k"
    )
    assert item == OutboxItem(
        kind="s3",
        target="b",
        key="k.jpg",
        content_type="image/jpeg",
        body=b"jpeg",
        attributes={"kms_key_id": "alias/k"},
    )


def test_a_notification_goes_to_a_topic() -> None:
    """It carries its subject and event id."""
    item = notification_item(
        {"a": 1}, topic_arn=TOPIC_ARN, processor_name="door", subject="S", event_id="e1"
    )
    assert item == OutboxItem(
        kind="sns",
        target=TOPIC_ARN,
        key="door",
        content_type="application/json",
        body=b'{"a":1}',
        attributes={"event_id": "e1", "subject": "S"},
    )
