from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.clock import ManualClock
from tests.support.gateway import Server, serving


async def refused(server: Server, operation: str, **members: Any) -> tuple[str, int]:
    """Return code and status of the error a call is answered with."""
    with pytest.raises(ClientError) as caught:
        await server.call("kinesisvideo", operation, **members)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


async def test_create_and_describe(tmp_path: Path) -> None:
    """A stream is ACTIVE at once; its ARN ends with the milliseconds of its creation."""
    async with serving(tmp_path, clock=ManualClock(1_700_000_000.5)) as server:
        answer = await server.call(
            "kinesisvideo",
            "create_stream",
            StreamName="front.door_1",
            DeviceName="cam",
            MediaType="video/h264",
            DataRetentionInHours=2,
            Tags={"floor": "0"},
        )
        arn = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/front.door_1/1700000000500"
        assert answer["StreamARN"] == arn
        assert len(answer["ResponseMetadata"]["RequestId"]) == 36
        described = await server.call("kinesisvideo", "describe_stream", StreamARN=arn)
        info = described["StreamInfo"]
        assert isinstance(info.pop("CreationTime"), datetime)
        assert 1 <= len(info.pop("Version")) <= 64
        assert info == {
            "DeviceName": "cam",
            "StreamName": "front.door_1",
            "StreamARN": arn,
            "MediaType": "video/h264",
            "KmsKeyId": "arn:aws:kms:us-east-1:000000000000:alias/aws/kinesisvideo",
            "Status": "ACTIVE",
            "DataRetentionInHours": 2,
        }
        tags = await server.call("kinesisvideo", "list_tags_for_stream", StreamARN=arn)
        assert tags["Tags"] == {"floor": "0"}


async def test_errors_are_awss(server: Server) -> None:
    """Codes and HTTP statuses of what cannot be done."""
    arn = await server.create("door", hours=5)
    assert await refused(server, "create_stream", StreamName="door") == (
        "ResourceInUseException",
        400,
    )
    assert await refused(server, "create_stream", StreamName="no spaces") == (
        "InvalidArgumentException",
        400,
    )
    too_long = {"StreamName": "long", "DataRetentionInHours": 87_601}
    assert (await refused(server, "create_stream", **too_long))[0] == "InvalidArgumentException"
    assert await refused(server, "describe_stream", StreamName="nobody") == (
        "ResourceNotFoundException",
        404,
    )
    assert await refused(server, "describe_stream") == ("InvalidArgumentException", 400)
    assert await refused(server, "delete_stream", StreamARN=arn, CurrentVersion="old") == (
        "VersionMismatchException",
        400,
    )
    assert await refused(server, "list_streams", NextToken="AA=A") == (
        "InvalidArgumentException",
        400,
    )
    assert await refused(server, "create_signaling_channel", ChannelName="c") == (
        "UnknownOperationException",
        400,
    )


async def test_list_streams_in_pages(server: Server) -> None:
    """ListStreams is paged by name and filtered by prefix."""
    for name in ("a1", "a2", "A3", "b1"):
        await server.create(name)

    async def names(**members: Any) -> tuple[list[str], str | None]:
        answer = await server.call("kinesisvideo", "list_streams", **members)
        return [info["StreamName"] for info in answer["StreamInfoList"]], answer.get("NextToken")

    assert await names() == (["A3", "a1", "a2", "b1"], None)
    first, token = await names(MaxResults=3)
    assert first == ["A3", "a1", "a2"]
    assert await names(MaxResults=3, NextToken=token) == (["b1"], None)
    condition = {"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "a"}
    assert await names(StreamNameCondition=condition) == (["a1", "a2"], None)


async def test_retention_changes(server: Server) -> None:
    """Retention goes up and down by hours, at the current version, between 0 and ten years."""
    await server.create("door", hours=5)

    async def state() -> tuple[int, str]:
        answer = await server.call("kinesisvideo", "describe_stream", StreamName="door")
        info = answer["StreamInfo"]
        return info["DataRetentionInHours"], info["Version"]

    def change(kind: str, hours: int, version: str) -> dict[str, Any]:
        return {
            "StreamName": "door",
            "CurrentVersion": version,
            "Operation": f"{kind}_DATA_RETENTION",
            "DataRetentionChangeInHours": hours,
        }

    _, version = await state()
    await server.call("kinesisvideo", "update_data_retention", **change("INCREASE", 3, version))
    hours, newer = await state()
    assert (hours, newer != version) == (8, True)
    assert await refused(server, "update_data_retention", **change("DECREASE", 1, version)) == (
        "VersionMismatchException",
        400,
    )
    for kind, by in (("DECREASE", 9), ("INCREASE", 87_600)):
        assert await refused(server, "update_data_retention", **change(kind, by, newer)) == (
            "InvalidArgumentException",
            400,
        )
    await server.call("kinesisvideo", "update_data_retention", **change("DECREASE", 8, newer))
    assert (await state())[0] == 0


async def test_update_and_delete(server: Server) -> None:
    """UpdateStream changes the device at the current version; DeleteStream ends it all."""
    arn = await server.create("door")
    described = await server.call("kinesisvideo", "describe_stream", StreamName="door")
    version = described["StreamInfo"]["Version"]
    await server.call(
        "kinesisvideo",
        "update_stream",
        StreamName="door",
        CurrentVersion=version,
        DeviceName="other",
    )
    described = await server.call("kinesisvideo", "describe_stream", StreamARN=arn)
    assert described["StreamInfo"]["DeviceName"] == "other"
    await server.call("kinesisvideo", "delete_stream", StreamARN=arn)
    assert (await refused(server, "describe_stream", StreamName="door"))[1] == 404


async def test_tags(server: Server) -> None:
    """Tags are added, replaced and removed by stream name or ARN, at most 50."""
    arn = await server.create("door")
    await server.call("kinesisvideo", "tag_stream", StreamName="door", Tags={"a": "1", "b": "2"})
    await server.call("kinesisvideo", "tag_stream", StreamARN=arn, Tags={"b": "3"})
    await server.call("kinesisvideo", "untag_stream", StreamARN=arn, TagKeyList=["a", "z"])
    tags = await server.call("kinesisvideo", "list_tags_for_stream", StreamName="door")
    assert tags["Tags"] == {"b": "3"}
    many = {f"key{index}": "" for index in range(50)}
    assert await refused(server, "tag_stream", StreamName="door", Tags=many) == (
        "TagsPerResourceExceededLimitException",
        400,
    )


async def test_data_endpoint_is_the_public_url(tmp_path: Path) -> None:
    """GetDataEndpoint answers the public URL where one is set."""
    async with serving(tmp_path, public_url="https://video.example/base/") as server:
        await server.create("door")
        answer = await server.call(
            "kinesisvideo", "get_data_endpoint", StreamName="door", APIName="PUT_MEDIA"
        )
        assert answer["DataEndpoint"] == "https://video.example/base"
        assert (await refused(server, "get_data_endpoint", StreamName="door", APIName="MAGIC"))[
            0
        ] == "InvalidArgumentException"


async def test_creation_time_is_utc(server: Server) -> None:
    """CreationTime is what the clock said when the stream was made."""
    before = datetime.now(UTC)
    await server.create("door")
    described = await server.call("kinesisvideo", "describe_stream", StreamName="door")
    age = (described["StreamInfo"]["CreationTime"] - before).total_seconds()
    assert -0.01 < age < 10
