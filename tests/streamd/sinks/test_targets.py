"""Names inside ARNs."""

from __future__ import annotations

import pytest

from streamd.sinks import SinkGoneError, targets


def test_a_data_stream_has_a_name() -> None:
    """The name is what stands behind stream/."""
    arn = "arn:aws:kinesis:us-east-1:111122223333:stream/Amazon.Faces_1-a"
    assert targets.stream_name(arn) == "Amazon.Faces_1-a"


@pytest.mark.parametrize("name", ["porch", "porch.fifo", "A_b-1"])
def test_a_topic_has_a_name(name: str) -> None:
    """The name is the last part."""
    assert targets.topic_name(f"arn:aws:sns:us-east-1:111122223333:{name}") == name


@pytest.mark.parametrize(
    "resource",
    ["stream/", "stream/..", "stream/.", "stream/a/b", "consumer/a", "stream/a b", "stream/a:b"],
)
def test_no_other_resource_is_a_data_stream(resource: str) -> None:
    """What could leave a directory or name no stream does not exist, in AWS's words."""
    with pytest.raises(SinkGoneError, match="under account 111122223333 not found"):
        targets.stream_name(f"arn:aws:kinesis:us-east-1:111122223333:{resource}")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "a:subscription"])
def test_no_other_resource_is_a_topic(name: str) -> None:
    """A subscription or a path is no topic."""
    with pytest.raises(SinkGoneError, match="under account 111122223333 not found"):
        targets.topic_name(f"arn:aws:sns:us-east-1:111122223333:{name}")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            targets.stream_missing("arn:aws:kinesis:us-east-1:111122223333:stream/faces"),
            "Stream faces under account 111122223333 not found",
        ),
        (targets.stream_denied(), "Access denied to Kinesis Data"),
        (
            targets.topic_missing("arn:aws:sns:us-east-1:111122223333:porch"),
            "Topic porch under account 111122223333 not found",
        ),
        (targets.topic_denied(), "Access denied to SNS"),
        (targets.bucket_missing("b"), "Bucket b not found"),
        (targets.bucket_denied("b"), "Access denied to S3 bucket b"),
    ],
)
def test_what_is_missing_is_said_in_awss_words(error: SinkGoneError, message: str) -> None:
    """These texts become the StatusMessage of a FAILED processor."""
    assert str(error) == message
