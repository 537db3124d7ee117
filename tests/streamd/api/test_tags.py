"""Facts about tags, seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

PREFIX = "arn:aws:rekognition:us-east-1:000000000000:"


@pytest.fixture
def arn(client: Any, request: pytest.FixtureRequest) -> str:
    """A collection of its own for each test."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return str(client.create_collection(CollectionId=name)["CollectionArn"])


def tags(client: Any, arn: str) -> Any:
    return client.list_tags_for_resource(ResourceArn=arn)["Tags"]


def test_tags_merge_by_key(client: Any, arn: str) -> None:
    """A new key is added, a known one gets the new value; text of any language is kept."""
    assert tags(client, arn) == {}
    client.tag_resource(ResourceArn=arn, Tags={"a": "1", "Tür": "vorne links"})
    client.tag_resource(ResourceArn=arn, Tags={"a": "2", "b": ""})
    assert tags(client, arn) == {"a": "2", "b": "", "Tür": "vorne links"}


def test_untagging_ignores_absent_keys(client: Any, arn: str) -> None:
    """An absent key is no error."""
    client.tag_resource(ResourceArn=arn, Tags={"a": "1", "b": "2"})
    answer = client.untag_resource(ResourceArn=arn, TagKeys=["a", "nothing"])
    assert set(answer) == {"ResponseMetadata"}
    assert tags(client, arn) == {"b": "2"}


@pytest.mark.parametrize("name", ["collection/nobody", "streamprocessor/nobody"])
def test_unknown_resources(client: Any, name: str) -> None:
    """A resource that does not exist is ResourceNotFoundException for all three."""
    for call, params in (
        (client.tag_resource, {"Tags": {"a": "b"}}),
        (client.untag_resource, {"TagKeys": ["a"]}),
        (client.list_tags_for_resource, {}),
    ):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            call(ResourceArn=PREFIX + name, **params)


@pytest.mark.parametrize(
    "wrong", ["arn:aws:s3:::a-bucket-of-some-name", "x" * 20, PREFIX + "collection/a b", "short"]
)
def test_malformed_arns(client: Any, wrong: str) -> None:
    """What is no ARN of Rekognition is InvalidParameterException."""
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.list_tags_for_resource(ResourceArn=wrong)


def test_fifty_tags_are_the_limit(client: Any, arn: str) -> None:
    """The 51st tag is refused and none of the request's tags is added."""
    client.tag_resource(ResourceArn=arn, Tags={f"k{n}": "v" for n in range(50)})
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        client.tag_resource(ResourceArn=arn, Tags={"one": "more"})
    assert len(tags(client, arn)) == 50


@pytest.mark.parametrize("bad", [{"aws:a": "b"}, {"": "b"}, {"a" * 129: "b"}, {"a": "b" * 257},
                                 {"a\n": "b"}, {"a": "b\x00"}])  # fmt: skip
def test_bad_tags(client: Any, arn: str, bad: dict[str, str]) -> None:
    """Keys and values outside the model's constraints are refused."""
    with pytest.raises(ClientError) as caught:
        client.tag_resource(ResourceArn=arn, Tags=bad)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert tags(client, arn) == {}
