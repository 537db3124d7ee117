"""Facts about the constraints of the service descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from streamd.protocol.service import load_service
from streamd.protocol.validate import compile_pattern, violations

NAME_PATTERN = r"[a-zA-Z0-9_.\-]+"


def found(operation: str, **members: Any) -> list[str]:
    service = load_service("rekognition")
    return [str(v) for v in violations(service, service.operations[operation].input_shape, members)]


def test_a_request_within_bounds_has_no_violations() -> None:
    """Nothing is said of a request that keeps every constraint, at both ends."""
    assert found("ListCollections", MaxResults=0) == []
    assert found("ListCollections", MaxResults=4096, NextToken="x" * 255) == []
    assert found("DescribeCollection", CollectionId="a" * 255) == []
    assert found("TagResource", ResourceArn="a" * 20, Tags={"Käse 1": ""}) == []


@pytest.mark.parametrize(
    ("operation", "members", "text"),
    [
        ("DescribeCollection", {}, "Value null at 'collectionId' failed to satisfy constraint: "
         "Member must not be null"),
        ("DescribeCollection", {"CollectionId": "a b"}, "Value 'a b' at 'collectionId' failed to "
         f"satisfy constraint: Member must satisfy regular expression pattern: {NAME_PATTERN}"),
        ("DescribeCollection", {"CollectionId": "ab\n"}, "Value 'ab\n' at 'collectionId' failed to "
         f"satisfy constraint: Member must satisfy regular expression pattern: {NAME_PATTERN}"),
        ("DescribeCollection", {"CollectionId": "a" * 256}, f"Value '{'a' * 256}' at "
         "'collectionId' failed to satisfy constraint: Member must have length less than or equal "
         "to 255"),
        ("ListCollections", {"MaxResults": -1}, "Value '-1' at 'maxResults' failed to satisfy "
         "constraint: Member must have value greater than or equal to 0"),
        ("ListCollections", {"MaxResults": 4097}, "Value '4097' at 'maxResults' failed to satisfy "
         "constraint: Member must have value less than or equal to 4096"),
        ("UpdateStreamProcessor", {"Name": "a", "ParametersToDelete": ["X"]}, "Value '[X]' at "
         "'parametersToDelete' failed to satisfy constraint: Member must satisfy constraint: "
         "[Member must satisfy enum value set: [ConnectedHomeMinConfidence, RegionsOfInterest]]"),
        ("UpdateStreamProcessor", {"Name": "a", "RegionsOfInterestForUpdate": [{}] * 11},
         f"Value '[{', '.join(['{}'] * 11)}]' at 'regionsOfInterestForUpdate' failed to satisfy "
         "constraint: Member must have length less than or equal to 10"),
        ("UpdateStreamProcessor", {"Name": "a", "RegionsOfInterestForUpdate": [{}, None]},
         "Value null at 'regionsOfInterestForUpdate.2.member' failed to satisfy constraint: "
         "Member must not be null"),
        ("UpdateStreamProcessor", {"Name": "a", "DataSharingPreferenceForUpdate": {}},
         "Value null at 'dataSharingPreferenceForUpdate.optIn' failed to satisfy constraint: "
         "Member must not be null"),
        ("TagResource", {"ResourceArn": "a" * 20, "Tags": {"k": None}},
         "Value null at 'tags.k.member' failed to satisfy constraint: Member must not be null"),
        ("SearchFacesByImage", {"CollectionId": "a", "Image": {"Bytes": b""}},
         "Value '0 bytes' at 'image.bytes' failed to satisfy constraint: "
         "Member must have length greater than or equal to 1"),
    ],
    ids=range(12),
)  # fmt: skip
def test_texts(operation: str, members: dict[str, Any], text: str) -> None:
    """Each kind of constraint has AWS's words, path and value."""
    assert found(operation, **members) == [text]


def test_map_keys_and_values_are_checked() -> None:
    """A tag's key and value have the constraints of their shapes."""
    [key] = found("TagResource", ResourceArn="a" * 20, Tags={"aws:x": "v"})
    assert "Map keys must satisfy constraint: [Member must have length" in key
    [value] = found("TagResource", ResourceArn="a" * 20, Tags={"x": "v" * 257})
    assert "Map value must satisfy constraint: [Member must have length" in value


def test_every_broken_constraint_is_told() -> None:
    """A request that breaks several constraints is told all of them."""
    assert len(found("CreateStreamProcessor", Name="", RoleArn="x")) == 6


def test_violations_are_bounded() -> None:
    """A request of thousands of wrong members gets a short answer."""
    regions: list[dict[str, Any] | None] = [None] * 5000
    assert len(found("UpdateStreamProcessor", Name="a", RegionsOfInterestForUpdate=regions)) == 20


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^[0-9]+$", "12", True),
        ("^[0-9]+$", "12\n", False),
        ("[a-z]+", "ab1", False),
        (r"\d+", "٣", False),  # an Arabic digit: Java's \d is ASCII
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "Größe 10", True),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "a\n", False),
        (r"^(?!aws:)[\p{L}]*$", "aws:", False),
    ],
    ids=range(7),
)
def test_patterns_are_javas_and_cover_the_whole_string(
    pattern: str, text: str, *, matches: bool
) -> None:
    """A pattern applies to the whole string, with Java's classes."""
    assert compile_pattern(pattern)(text) is matches


def test_a_pattern_that_backtracks_is_cut_short() -> None:
    """A pattern without end refuses instead of blocking."""
    assert compile_pattern(r"(a|aa)+b|(a*)*c")("a" * 60) is False


@pytest.mark.parametrize(
    "service",
    ["rekognition", "kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media"],
)
def test_every_pattern_of_the_models_compiles(service: str) -> None:
    """All patterns of all services are understood."""
    for shape in load_service(service).shapes.values():
        if "pattern" in shape:
            compile_pattern(shape["pattern"])
