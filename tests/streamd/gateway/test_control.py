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


async def test_errors_on_the_wire(server: Server) -> None:
    """Code and request id stand in headers, in AWS's and its guide's spelling; the body explains."""
    async with server.http.post(f"{server.url}/describeStream", json={"StreamName": "x"}) as answer:
        assert (answer.status, answer.content_type) == (404, "application/json")
        headers = answer.headers
        assert headers["x-amzn-ErrorType"] == "ResourceNotFoundException"
        assert headers["x-amz-ErrorType"] == "ResourceNotFoundException"
        assert len(headers["x-amzn-RequestId"]) == 36
        assert headers["x-amz-RequestId"] == headers["x-amzn-RequestId"]
        assert await answer.json() == {
            "Message": "The requested stream is not found or not active."
        }


async def test_streams_are_found_by_exactly_their_names(server: Server) -> None:
    """Name and ARN must agree; another account's, another time's, or half an ARN finds nothing."""
    arn = await server.create("door")
    await server.create("yard")
    described = await server.call(
        "kinesisvideo", "describe_stream", StreamName="door", StreamARN=arn
    )
    assert described["StreamInfo"]["StreamARN"] == arn
    for members, status in (
        ({"StreamName": "yard", "StreamARN": arn}, 404),
        ({"StreamName": "Door"}, 404),
        ({"StreamARN": arn.replace("000000000000", "000000000001")}, 404),
        ({"StreamARN": arn + "1"}, 404),
        ({"StreamARN": arn.rpartition("/")[0]}, 400),
        ({"StreamARN": "door"}, 400),
    ):
        assert (await refused(server, "describe_stream", **members))[1] == status, members


async def test_versions_change_with_every_update(server: Server) -> None:
    """A version is good for one change, whichever operation makes it; what is not given stays."""
    arn = await server.create("door", hours=5)

    async def info() -> dict[str, Any]:
        answer = await server.call("kinesisvideo", "describe_stream", StreamName="door")
        return dict(answer["StreamInfo"])

    versions = [(await info())["Version"]]
    for operation, members in (
        ("update_stream", {"MediaType": "video/h264"}),
        ("update_stream", {"DeviceName": "cam"}),
        (
            "update_data_retention",
            {"Operation": "INCREASE_DATA_RETENTION", "DataRetentionChangeInHours": 1},
        ),
        (
            "update_stream_storage_configuration",
            {"StreamStorageConfiguration": {"DefaultStorageTier": "HOT"}},
        ),
    ):
        await server.call(
            "kinesisvideo", operation, StreamARN=arn, CurrentVersion=versions[-1], **members
        )
        stale = await refused(
            server, operation, StreamARN=arn, CurrentVersion=versions[-1], **members
        )
        assert stale == ("VersionMismatchException", 400)
        versions.append((await info())["Version"])
    assert len(set(versions)) == 5
    now = await info()
    assert (now["MediaType"], now["DeviceName"], now["DataRetentionInHours"]) == (
        "video/h264",
        "cam",
        6,
    )
    await server.call("kinesisvideo", "delete_stream", StreamARN=arn, CurrentVersion=versions[-1])
    assert await refused(server, "delete_stream", StreamARN=arn) == (
        "ResourceNotFoundException",
        404,
    )


async def test_there_is_one_storage_tier(server: Server) -> None:
    """Streams are HOT; a tier there is not is refused, not forgotten."""
    warm = {"StreamStorageConfiguration": {"DefaultStorageTier": "WARM"}}
    assert (await refused(server, "create_stream", StreamName="door", **warm))[0] == (
        "InvalidArgumentException"
    )
    hot = {"StreamStorageConfiguration": {"DefaultStorageTier": "HOT"}}
    created = await server.call("kinesisvideo", "create_stream", StreamName="door", **hot)
    described = await server.call(
        "kinesisvideo", "describe_stream_storage_configuration", StreamName="door"
    )
    described.pop("ResponseMetadata")
    assert described == {"StreamName": "door", "StreamARN": created["StreamARN"], **hot}
    refusal = await refused(
        server,
        "update_stream_storage_configuration",
        StreamName="door",
        CurrentVersion="1",
        **warm,
    )
    assert refusal == ("InvalidArgumentException", 400)


async def test_tags_of_resources(server: Server) -> None:
    """TagResource and its relatives work on a stream's ARN as TagStream does."""
    arn = await server.create("door")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    await server.call("kinesisvideo", "tag_resource", ResourceARN=arn, Tags=tags)
    await server.call("kinesisvideo", "untag_resource", ResourceARN=arn, TagKeyList=["a"])
    listed = await server.call("kinesisvideo", "list_tags_for_resource", ResourceARN=arn)
    assert listed["Tags"] == {"b": "2"}
    listed = await server.call("kinesisvideo", "list_tags_for_stream", StreamName="door")
    assert listed["Tags"] == {"b": "2"}


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("tag_stream", {"StreamName": "door", "Tags": {"aws:x": "1"}}, "InvalidArgumentException"),
        ("tag_stream", {"StreamName": "nobody", "Tags": {"x": "1"}}, "ResourceNotFoundException"),
        ("tag_stream", {"Tags": {"x": "1"}}, "InvalidArgumentException"),
        (
            "list_tags_for_stream",
            {"StreamName": "door", "NextToken": "AAAA"},
            "InvalidArgumentException",
        ),
        ("list_streams", {"NextToken": "AAAA"}, "InvalidArgumentException"),
        (
            "create_stream",
            {"StreamName": "new", "Tags": {f"k{n}": "" for n in range(51)}},
            "InvalidArgumentException",
        ),
        (
            "create_stream",
            {"StreamName": "new", "Tags": {"AWS:x": ""}},
            "InvalidArgumentException",
        ),
    ],
)
async def test_tags_and_tokens_that_cannot_be(
    server: Server, operation: str, members: dict[str, Any], code: str
) -> None:
    """Reserved keys, too many tags, tokens that nobody gave."""
    await server.create("door")
    assert (await refused(server, operation, **members))[0] == code


async def test_the_account_has_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream more than the account may have is AccountStreamLimitExceeded."""
    monkeypatch.setattr("streamd.gateway.control.MAX_STREAMS", 1)
    await server.create("door")
    assert await refused(server, "create_stream", StreamName="yard") == (
        "AccountStreamLimitExceededException",
        400,
    )


async def test_pages_survive_changes(server: Server) -> None:
    """A stream deleted between two pages costs nothing: the next page begins after its name."""
    arns = {name: await server.create(name) for name in ("a", "b", "c")}
    first = await server.call("kinesisvideo", "list_streams", MaxResults=2)
    await server.call("kinesisvideo", "delete_stream", StreamARN=arns["b"])
    await server.create("ab")
    rest = await server.call(
        "kinesisvideo", "list_streams", MaxResults=2, NextToken=first["NextToken"]
    )
    assert [info["StreamName"] for info in rest["StreamInfoList"]] == ["c"]


async def test_calls_a_second_are_limited_where_that_is_set(tmp_path: Path) -> None:
    """The sixth call within a second is ClientLimitExceeded; another stream's is not."""
    settings = {"max_calls_per_second": 5}
    async with serving(tmp_path, clock=ManualClock(), settings=settings) as server:
        for name in ("door", "yard"):
            await server.create(name)

        async def describe(name: str) -> int:
            url = f"{server.url}/describeStream"
            async with server.http.post(url, json={"StreamName": name}) as answer:
                return answer.status

        assert [await describe("door") for _ in range(6)] == [200] * 5 + [400]
        assert await describe("yard") == 200
        assert await refused(server, "describe_stream", StreamName="door") == (
            "ClientLimitExceededException",
            400,
        )
