"""Facts about UpdateStreamProcessor, seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.stream_processors import BOX, FACE, GENERIC, LABEL, TRIANGLE, create, refusal


def test_update_changes_label_settings(client: Any) -> None:
    """Labels, confidence, regions and sharing change; the rest stays."""
    name = create(client, LABEL)
    client.update_stream_processor(
        Name=name,
        SettingsForUpdate={"ConnectedHomeForUpdate": {"Labels": ["PET"], "MinConfidence": 77.5}},
        RegionsOfInterestForUpdate=[TRIANGLE],
        DataSharingPreferenceForUpdate={"OptIn": True},
    )
    described = client.describe_stream_processor(Name=name)
    assert described["Status"] == "STOPPED"
    assert described["Settings"] == {"ConnectedHome": {"Labels": ["PET"], "MinConfidence": 77.5}}
    assert described["RegionsOfInterest"] == [TRIANGLE]
    assert described["DataSharingPreference"] == {"OptIn": True}
    client.update_stream_processor(
        Name=name, ParametersToDelete=["ConnectedHomeMinConfidence", "RegionsOfInterest"]
    )
    described = client.describe_stream_processor(Name=name)
    assert described["Settings"] == {"ConnectedHome": {"Labels": ["PET"], "MinConfidence": 50.0}}
    assert "RegionsOfInterest" not in described


def test_regions_of_a_face_search_can_be_updated(client: Any) -> None:
    """Regions are not label detection's alone."""
    name = create(client, FACE)
    client.update_stream_processor(Name=name, RegionsOfInterestForUpdate=[BOX])
    assert client.describe_stream_processor(Name=name)["RegionsOfInterest"] == [BOX]


@pytest.mark.parametrize(
    ("base", "params", "message"),
    [
        (
            FACE,
            {"SettingsForUpdate": {"ConnectedHomeForUpdate": {"MinConfidence": 1}}},
            GENERIC + "The settings of a face search can not be updated.",
        ),
        (
            FACE,
            {"SettingsForUpdate": {"ConnectedHomeForUpdate": {}}},
            GENERIC + "The settings of a face search can not be updated.",
        ),
        (
            FACE,
            {"ParametersToDelete": ["ConnectedHomeMinConfidence"]},
            GENERIC + "The settings of a face search can not be updated.",
        ),
        (
            LABEL,
            {
                "SettingsForUpdate": {"ConnectedHomeForUpdate": {"MinConfidence": 1}},
                "ParametersToDelete": ["ConnectedHomeMinConfidence"],
            },
            GENERIC + "MinConfidence can not be both updated and deleted.",
        ),
        (
            LABEL,
            {
                "RegionsOfInterestForUpdate": [BOX],
                "ParametersToDelete": ["RegionsOfInterest"],
            },
            GENERIC + "RegionsOfInterest can not be both updated and deleted.",
        ),
        (
            LABEL,
            {"SettingsForUpdate": {"ConnectedHomeForUpdate": {"Labels": ["DOG"]}}},
            GENERIC + "Labels can be PERSON, PET, PACKAGE, ALL, got 'DOG'.",
        ),
        (
            LABEL,
            {"ParametersToDelete": ["Name"]},
            "1 validation error detected: Value '[Name]' at 'parametersToDelete' failed to "
            "satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value "
            "set: [ConnectedHomeMinConfidence, RegionsOfInterest]]",
        ),
    ],
    ids=["face", "face empty", "face delete", "confidence", "regions", "label", "parameter"],
)
def test_updates_that_are_refused(
    client: Any, base: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    """An update that does not fit is refused and changes nothing."""
    name = create(client, base)
    before = client.describe_stream_processor(Name=name)
    assert refusal(client.update_stream_processor, Name=name, **params) == (
        "InvalidParameterException",
        message,
    )
    after = client.describe_stream_processor(Name=name)
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert after == before
