"""Facts about stream processors in AWS's spelling, as plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streamd.api.convert import (
    change_from_wire,
    definition_from_wire,
    processor_to_wire,
    start_from_wire,
)
from streamd.lifecycle import Status
from streamd.protocol.errors import ServiceError
from streamd.protocol.serialize import serialize_output
from streamd.protocol.service import load_service
from streamd.resources import (
    ConnectedHomeSettings,
    FaceSearchSettings,
    KinesisOutput,
    RegionOfInterest,
    S3Output,
    StartRequest,
    StreamProcessor,
    StreamProcessorDefinition,
)

FACE: dict[str, Any] = {
    "Name": "p",
    "Input": {"KinesisVideoStream": {"Arn": "arn:in"}},
    "Output": {"KinesisDataStream": {"Arn": "arn:out"}},
    "RoleArn": "arn:role",
    "Settings": {"FaceSearch": {"CollectionId": "c", "FaceMatchThreshold": 90.0}},
}
LABEL: dict[str, Any] = {
    **FACE,
    "Output": {"S3Destination": {"Bucket": "b"}},
    "NotificationChannel": {"SNSTopicArn": "arn:topic"},
    "Settings": {"ConnectedHome": {"Labels": ["PET"]}},
}
FACE_DEFINITION = StreamProcessorDefinition(
    input_arn="arn:in",
    output=KinesisOutput(arn="arn:out"),
    settings=FaceSearchSettings(collection_id="c", face_match_threshold_percent=90.0),
    role_arn="arn:role",
)
LABEL_DEFINITION = StreamProcessorDefinition(
    input_arn="arn:in",
    output=S3Output(bucket="b"),
    settings=ConnectedHomeSettings(labels=("PET",)),
    role_arn="arn:role",
    sns_topic_arn="arn:topic",
)


@pytest.mark.parametrize(
    ("params", "definition"), [(FACE, FACE_DEFINITION), (LABEL, LABEL_DEFINITION)]
)
def test_definitions(params: dict[str, Any], definition: StreamProcessorDefinition) -> None:
    """A request becomes a definition with AWS's defaults filled in."""
    assert definition_from_wire(params) == definition


def test_starts() -> None:
    """Face search starts with nothing; label detection with where and how long."""
    selector = {"KVSStreamStartSelector": {"ProducerTimestamp": 7}}
    assert start_from_wire({}, FACE_DEFINITION) == StartRequest()
    assert start_from_wire({"StartSelector": selector}, LABEL_DEFINITION) == StartRequest(
        producer_timestamp_ms=7, max_duration_seconds=10
    )


def test_a_start_at_time_zero() -> None:
    """ProducerTimestamp 0 is a choice, not an absence."""
    selector = {"KVSStreamStartSelector": {"ProducerTimestamp": 0}}
    start = start_from_wire({"StartSelector": selector}, LABEL_DEFINITION)
    assert start.producer_timestamp_ms == 0


def test_changes() -> None:
    """A change touches what it names and no more."""
    change = change_from_wire(
        {
            "SettingsForUpdate": {"ConnectedHomeForUpdate": {"MinConfidence": 60.0}},
            "DataSharingPreferenceForUpdate": {"OptIn": True},
        }
    )
    assert change(LABEL_DEFINITION) == LABEL_DEFINITION.model_copy(
        update={
            "opt_in": True,
            "settings": ConnectedHomeSettings(labels=("PET",), min_confidence_percent=60.0),
        }
    )
    with pytest.raises(ServiceError, match="InvalidParameterException"):
        change(FACE_DEFINITION)


def test_an_empty_change_changes_nothing() -> None:
    """UpdateStreamProcessor with a name alone is accepted."""
    assert change_from_wire({"SettingsForUpdate": {}})(FACE_DEFINITION) == FACE_DEFINITION


def test_every_member_of_a_processor_is_in_the_model() -> None:
    """The fullest answer has only members of the service model."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    processor = StreamProcessor(
        account_id="000000000000",
        name="p",
        arn="arn:p",
        definition=LABEL_DEFINITION.model_copy(
            update={
                "kms_key_id": "k",
                "regions_of_interest": (
                    RegionOfInterest(bounding_box=(0.0, 0.0, 1.0, 1.0)),
                    RegionOfInterest(polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))),
                ),
            }
        ),
        status=Status.FAILED,
        status_message="Access denied to Role",
        created_at=now,
        last_updated_at=now,
        version=3,
    )
    service = load_service("rekognition")
    answer = serialize_output(
        service, "DescribeStreamProcessorResponse", processor_to_wire(processor)
    )
    assert b'"Status":"FAILED","StatusMessage":"Access denied to Role"' in answer
