"""The resources as values: frozen, complete, and the same after the store has kept them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from streamd.resources import (
    ConnectedHomeSettings,
    FaceSearchSettings,
    RegionOfInterest,
    S3Output,
    StreamProcessorDefinition,
    User,
    UserStatus,
    VideoStream,
    collection_arn,
    stream_processor_arn,
)
from tests.support.store import FACE_SEARCH, LABELS


@pytest.mark.parametrize("definition", [FACE_SEARCH, LABELS], ids=["face search", "labels"])
def test_a_definition_survives_json(definition: StreamProcessorDefinition) -> None:
    """Kinds of outputs and settings are told apart by their own word."""
    again = StreamProcessorDefinition.model_validate_json(definition.model_dump_json())
    assert again == definition
    assert type(again.output) is type(definition.output)
    assert type(again.settings) is type(definition.settings)


def test_defaults_are_awss() -> None:
    """FaceMatchThreshold 80, MinConfidence 50 (API Reference)."""
    assert FaceSearchSettings(collection_id="c").face_match_threshold_percent == 80.0
    assert ConnectedHomeSettings(labels=("ALL",)).min_confidence_percent == 50.0


def test_values_do_not_change() -> None:
    """A change is another value."""
    output = S3Output(bucket="b")
    with pytest.raises(ValidationError, match="frozen"):
        output.bucket = "c"  # type: ignore[misc]  # what is tested


def test_unknown_members_are_refused() -> None:
    """A misspelt member is a mistake of ours, found at once."""
    with pytest.raises(ValidationError, match="extra"):
        RegionOfInterest.model_validate({"box": (0, 0, 1, 1)})


def test_a_user_is_active_with_its_first_face() -> None:
    """Associations are finished when they are answered: there is nothing in between."""
    assert User(user_id="ann").status is UserStatus.CREATED
    assert User(user_id="ann", face_count=1).status is UserStatus.ACTIVE


def test_a_stream_has_no_home_at_first() -> None:
    """Nor a retention: what arrives is for those who listen."""
    stream = VideoStream(
        account_id="1" * 12, name="door", arn="arn", version="v", created_at=datetime.now(UTC)
    )
    assert (stream.home, stream.data_retention_hours) == (None, 0)


def test_arns() -> None:
    """As AWS spells them."""
    place = {"region": "eu-west-1", "account_id": "111122223333"}
    assert stream_processor_arn(**place, name="p") == (
        "arn:aws:rekognition:eu-west-1:111122223333:streamprocessor/p"
    )
    assert collection_arn(**place, collection_id="c") == (
        "arn:aws:rekognition:eu-west-1:111122223333:collection/c"
    )
