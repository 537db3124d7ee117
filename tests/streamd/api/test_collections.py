"""Facts about collections, seen through boto3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from processors.errors import PackFileError
from tests.support.rekognition import Endpoint, open_endpoint


def message_of(error: ClientError) -> str:
    return str(error.response["Error"]["Message"])


def test_a_collection_is_described_as_created(client: Any) -> None:
    """Create answers 200, the ARN and the model; Describe counts and dates."""
    created = client.create_collection(CollectionId="Door.1_a-b", Tags={"a": "b"})
    arn = "arn:aws:rekognition:us-east-1:000000000000:collection/Door.1_a-b"
    assert (created["StatusCode"], created["CollectionArn"]) == (200, arn)
    assert created["FaceModelVersion"] == "9.1"
    described = client.describe_collection(CollectionId="Door.1_a-b")
    age = datetime.now(UTC) - described.pop("CreationTimestamp")
    assert timedelta(seconds=-1) < age < timedelta(seconds=30)
    described.pop("ResponseMetadata")
    assert described == {
        "FaceCount": 0,
        "UserCount": 0,
        "FaceModelVersion": "9.1",
        "CollectionARN": arn,
    }
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "b"}


def test_ids_are_case_sensitive_and_unique(client: Any) -> None:
    """Another case is another collection; the same id is refused in AWS's words."""
    client.create_collection(CollectionId="unique")
    client.create_collection(CollectionId="Unique")
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException) as caught:
        client.create_collection(CollectionId="unique")
    assert message_of(caught.value) == "The collection id: unique already exists."


def test_a_deleted_collection_is_gone(client: Any) -> None:
    """Delete answers 200; afterwards nothing knows the id, and it can be made again."""
    client.create_collection(CollectionId="gone", Tags={"a": "b"})
    assert client.delete_collection(CollectionId="gone")["StatusCode"] == 200
    for operation in ("describe_collection", "delete_collection"):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            getattr(client, operation)(CollectionId="gone")
        assert message_of(caught.value) == "Collection:gone not found!"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    client.create_collection(CollectionId="gone")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with the longest ids there can be."""
    for endpoint in open_endpoint(tmp_path_factory.mktemp("crowded"), load_analyzer=None):
        for number in range(5):
            endpoint.client.create_collection(CollectionId=f"{'-' * 254}{number}")
        yield endpoint


@pytest.mark.parametrize(("size", "pages"), [(1, 5), (2, 3), (5, 1), (0, 1), (4096, 1)])
def test_list_pages_in_order_of_ids(crowded: Endpoint, size: int, pages: int) -> None:
    """Every id once, in order, with its model version; 0 stands for the default size."""
    ids: list[str] = []
    versions: list[str] = []
    token: dict[str, str] = {}
    count = 0
    while count == 0 or token:
        answer = crowded.client.list_collections(MaxResults=size, **token)
        assert len(answer.get("NextToken", "")) <= 255
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
        ids += answer["CollectionIds"]
        versions += answer["FaceModelVersions"]
        count += 1
    assert ids == [f"{'-' * 254}{number}" for number in range(5)]
    assert versions == ["9.1"] * 5
    assert count == pages


def test_too_many_tags(client: Any) -> None:
    """More than 50 tags are ServiceQuotaExceededException, and no collection is made."""
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        client.create_collection(CollectionId="tags", Tags={f"k{n}": "v" for n in range(51)})
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_collection(CollectionId="tags")


def test_a_face_pack_that_is_missing(tmp_path: Path) -> None:
    """Without the face pack's files the answer says which command brings them."""

    def load() -> Any:
        raise PackFileError("builtin", ["a.onnx"], "missing", advice="pip install x")

    generator: Callable[..., Iterator[Endpoint]] = open_endpoint
    for endpoint in generator(tmp_path, load_analyzer=load):
        with pytest.raises(endpoint.client.exceptions.ResourceNotReadyException) as caught:
            endpoint.client.create_collection(CollectionId="a")
        assert message_of(caught.value) == (
            "The models are not available: model pack 'builtin': missing: a.onnx; run: pip install x"
        )
