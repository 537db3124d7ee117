"""The table of actions covers whatever is served, and finds what it is done to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamd.actions import ACTIONS, Place
from streamd.protocol.service import load_service
from tests.support.rekognition import open_endpoint

PLACE = Place(region="eu-west-1", account_id="111111111111")
REKOGNITION = "arn:aws:rekognition:eu-west-1:111111111111"
VIDEO = "arn:aws:kinesisvideo:eu-west-1:111111111111:stream"
PARAMS: dict[str, Any] = {
    "CollectionId": "staff",
    "Name": "hall",
    "StreamName": "door",
    "ResourceArn": f"{REKOGNITION}:collection/tagged",
    "Settings": {"FaceSearch": {"CollectionId": "staff"}},
}


def test_every_served_rekognition_operation_is_in_the_table(tmp_path: Path) -> None:
    """None can be called without a rule."""
    for endpoint in open_endpoint(tmp_path, load_analyzer=None):
        for name in endpoint.api.operations:
            assert ACTIONS[f"rekognition:{name}"].resources(PLACE, PARAMS), name


@pytest.mark.parametrize(
    "service", ["kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media"]
)
def test_every_kinesis_video_operation_is_in_the_table(service: str) -> None:
    """Those that are not served, too: they may be one day."""
    for name in [*load_service(service).operations, "PutMedia"]:
        assert ACTIONS[f"kinesisvideo:{name}"].resources(PLACE, PARAMS), name


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_an_operation_that_names_a_thing_is_done_to_it(name: str) -> None:
    """Whoever has a name among its required members does not fall under the resource *."""
    prefix, _, operation = name.partition(":")
    services = (
        ["rekognition"]
        if prefix == "rekognition"
        else ["kinesisvideo", "kinesis-video-media", "kinesis-video-archived-media"]
    )
    for service in map(load_service, services):
        if operation not in service.operations:
            continue
        shape = service.operations[operation].input_shape
        members = set(service.shapes[shape]["members"]) if shape else set()
        naming = {"CollectionId", "ResourceArn", "StreamName", "StreamARN", "ResourceARN"}
        if prefix == "rekognition":
            naming.add("Name")
        if members & naming and operation != "ListStreams":
            assert list(ACTIONS[name].resources(PLACE, PARAMS)) != ["*"]


@pytest.mark.parametrize(
    ("action", "params", "resources"),
    [
        ("rekognition:IndexFaces", {"CollectionId": "a"}, [f"{REKOGNITION}:collection/a"]),
        ("rekognition:ListCollections", {}, ["*"]),
        ("rekognition:DetectFaces", {"Image": {}}, ["*"]),
        ("rekognition:StopStreamProcessor", {"Name": "p"}, [f"{REKOGNITION}:streamprocessor/p"]),
        (
            "rekognition:CreateStreamProcessor",
            {"Name": "p", "Settings": {"FaceSearch": {"CollectionId": "a"}}},
            [f"{REKOGNITION}:streamprocessor/p", f"{REKOGNITION}:collection/a"],
        ),
        (
            "rekognition:CreateStreamProcessor",
            {"Name": "p", "Settings": {"ConnectedHome": {"Labels": ["ALL"]}}},
            [f"{REKOGNITION}:streamprocessor/p"],
        ),
        ("rekognition:TagResource", {"ResourceArn": "arn:x"}, ["arn:x"]),
        ("kinesisvideo:PutMedia", {"StreamName": "door"}, [f"{VIDEO}/door/*"]),
        ("kinesisvideo:GetMedia", {"StreamARN": f"{VIDEO}/door/7"}, [f"{VIDEO}/door/7"]),
        ("kinesisvideo:CreateStream", {"StreamName": "door"}, [f"{VIDEO}/door/*"]),
        ("kinesisvideo:ListStreams", {}, ["*"]),
        ("kinesisvideo:TagResource", {"ResourceARN": f"{VIDEO}/a/1"}, [f"{VIDEO}/a/1"]),
    ],
)
def test_resources_come_from_the_request(
    action: str, params: dict[str, Any], resources: list[str]
) -> None:
    """Names become ARNs of the caller's account; ARNs are taken as they are."""
    assert list(ACTIONS[action].resources(PLACE, params)) == resources


def test_what_changes_or_opens_a_collection_is_audited() -> None:
    """And nothing else."""
    quiet = {name for name, action in ACTIONS.items() if not action.is_audited}
    assert {name for name in quiet if name.startswith("rekognition:")} == {
        "rekognition:CompareFaces",
        "rekognition:DescribeStreamProcessor",
        "rekognition:DetectFaces",
        "rekognition:DetectLabels",
        "rekognition:ListCollections",
        "rekognition:ListStreamProcessors",
        "rekognition:ListTagsForResource",
    }
    assert all(
        name.partition(":")[2].startswith(("Describe", "Get", "List"))
        for name in quiet
        if name.startswith("kinesisvideo:")
    )
