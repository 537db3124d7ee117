"""Two gateways with one store, each with a disk of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from streamd.ingest.errors import MediaUnavailableError
from streamd.ingest.getmedia import KinesisVideoClient
from streamd.kvs import mkv_write
from streamd.kvs.mkv import Track
from streamd.producer.errors import EndpointError
from streamd.producer.upload import put_media
from tests.support.gateway import Server, eventually, serving
from tests.support.media import START_MS

HOME_SECONDS = 5.0
TRACK = Track(number=1, kind="video", codec_id="V_MPEG4/ISO/AVC", width_px=64, height_px=48)
HEADER = mkv_write.stream_header([TRACK])


class Member:
    """A replica whose knowledge of the others is what the test says."""

    advertised_url: str | None = None
    home_seconds = HOME_SECONDS

    def __init__(self, replica_id: str) -> None:
        self.replica_id = replica_id
        self.urls: dict[str, str] = {}
        self.silent: dict[str, float] = {}
        self.sure = True

    def is_sure(self) -> bool:
        return self.sure

    def url_of(self, replica_id: str | None) -> str | None:
        return self.urls.get(replica_id or "")

    def is_gone(self, replica_id: str, *, after_seconds: float) -> bool:
        return self.silent.get(replica_id, 0.0) > after_seconds

    async def look_again(self) -> None:
        """There is nothing new."""


@dataclass
class Two:
    """Streams are made at the first."""

    first: Server
    second: Server
    first_member: Member
    second_member: Member

    def kill_first(self, *, silent: float = HOME_SECONDS + 1) -> None:
        """Let the second believe that the first is gone."""
        self.second_member.silent["first"] = silent


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    one, other = Member("first"), Member("second")
    async with (
        serving(tmp_path, membership=one) as first,
        serving(tmp_path / "second", store_dir=tmp_path, membership=other) as second,
    ):
        one.urls, other.urls = {"second": second.url}, {"first": first.url}
        yield Two(first, second, one, other)


def cluster(second: int) -> bytes:
    block = mkv_write.simple_block(1, 0, b"v" * 200, keyframe=True)
    return mkv_write.cluster_start(START_MS + second * 1000) + block


async def endpoint(server: Server, api_name: str = "PUT_MEDIA") -> str:
    answer = await server.call(
        "kinesisvideo", "get_data_endpoint", StreamName="door", APIName=api_name
    )
    return str(answer["DataEndpoint"])


async def home_of(server: Server) -> str | None:
    stream = await asyncio.to_thread(server.store.video_stream, "0" * 12, name="door")
    return stream.home


async def test_every_replica_knows_the_endpoint(two: Two) -> None:
    """A stream is at home where it was made, whoever is asked."""
    await two.first.create()
    assert await home_of(two.first) == "first"
    for server in (two.first, two.second):
        assert await endpoint(server) == two.first.url
        assert await endpoint(server, "GET_MEDIA") == two.first.url


async def test_a_home_answers_its_advertised_address(two: Two) -> None:
    """Behind a balancer the name that the client called may be any replica's."""
    await two.first.create()
    two.first_member.advertised_url = "https://streamd-0.example.com"
    assert await endpoint(two.first) == "https://streamd-0.example.com"


@pytest.mark.parametrize(
    ("service", "operation", "members"),
    [
        ("kinesis-video-media", "get_media", {"StartSelector": {"StartSelectorType": "NOW"}}),
        (
            "kinesis-video-archived-media",
            "list_fragments",
            {
                "FragmentSelector": {
                    "FragmentSelectorType": "SERVER_TIMESTAMP",
                    "TimestampRange": {"StartTimestamp": 0, "EndTimestamp": 1},
                }
            },
        ),
        ("kinesis-video-archived-media", "get_media_for_fragment_list", {"Fragments": ["1"]}),
    ],
)
async def test_media_elsewhere_is_an_invalid_endpoint(
    two: Two, service: str, operation: str, members: dict[str, Any]
) -> None:
    """AWS's error for it, with the right endpoint in its text."""
    await two.first.create()
    with pytest.raises(ClientError) as caught:
        await two.second.call(service, operation, StreamName="door", **members)
    error = caught.value.response
    assert error["Error"]["Code"] == "InvalidEndpointException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert two.first.url in error["Error"]["Message"]


async def test_our_producer_asks_again_for_the_endpoint(two: Two) -> None:
    """PutMedia elsewhere is refused so that another try makes sense."""
    await two.first.create()

    async def body() -> AsyncIterator[bytes]:
        yield HEADER

    with pytest.raises(EndpointError, match=f"InvalidEndpointException.*{two.first.url}"):
        await put_media(
            two.second.http,
            f"{two.second.url}/putMedia",
            stream_name="door",
            body=body(),
            signer=None,
            on_acknowledgement=lambda _ack: None,
        )


async def test_our_consumer_asks_again_for_the_endpoint(two: Two) -> None:
    """The endpoint it had kept is wrong once the stream has moved; its next call is right."""
    await two.first.create()
    selector = {"StartSelectorType": "NOW"}
    async with aiohttp.ClientSession() as http:
        client = KinesisVideoClient(session=http, region="us-east-1", endpoint_url=two.second.url)
        async with client.get_media("door", selector):
            pass
        two.kill_first()
        assert await endpoint(two.second) == two.second.url
        with pytest.raises(MediaUnavailableError, match="InvalidEndpointException"):
            async with client.get_media("door", selector):
                pass
        async with client.get_media("door", selector):
            pass


async def test_a_living_home_is_not_robbed(two: Two) -> None:
    """Silence that is no longer than it may be."""
    await two.first.create()
    two.kill_first(silent=HOME_SECONDS - 1)
    assert await endpoint(two.second) == two.first.url
    assert await home_of(two.second) == "first"


async def test_readers_wait_longer_than_producers(two: Two) -> None:
    """The disk with what they want may come back; live video has nowhere else to go."""
    await two.first.create()
    two.kill_first()
    assert await endpoint(two.second, "GET_MEDIA") == two.first.url
    assert await endpoint(two.second, "PUT_MEDIA") == two.second.url
    assert await endpoint(two.second, "GET_MEDIA") == two.second.url


async def test_a_reader_adopts_in_the_end(two: Two) -> None:
    """It gets what there is, and does not hang on a machine that never comes back."""
    await two.first.create()
    two.kill_first(silent=1000)
    assert await endpoint(two.second, "GET_MEDIA") == two.second.url


async def test_an_adopted_stream_goes_on(two: Two) -> None:
    """Numbers rise; who goes on after a fragment that is away gets all there is, counted."""
    await two.first.create()
    acks = await two.first.upload(HEADER + cluster(0))
    last = acks[-1]["FragmentNumber"]
    two.kill_first()
    acks = await two.second.upload(HEADER + cluster(1) + cluster(2))
    numbers = [ack["FragmentNumber"] for ack in acks if ack["EventType"] == "PERSISTED"]
    assert len(numbers) == 2
    assert min(numbers) > last
    assert two.second.value("streamd_streams_adopted_total") == 1
    body = await two.second.read_media(
        StartSelectorType="FRAGMENT_NUMBER", AfterFragmentNumber=last
    )
    assert all(number.encode() in body for number in numbers)
    assert two.second.value("streamd_get_media_gaps_total") == 1
    await two.second.read_media(StartSelectorType="FRAGMENT_NUMBER", AfterFragmentNumber=numbers[0])
    assert two.second.value("streamd_get_media_gaps_total") == 1


async def test_a_home_in_doubt_promises_nothing(two: Two) -> None:
    """What would let a producer forget a fragment waits until the home is sure again."""
    await two.first.create()
    async with two.first.put_media() as session:
        two.first_member.sure = False
        await session.send(HEADER + cluster(0))
        await session.ack("BUFFERING")
        await session.send(cluster(1))
        await session.ack("BUFFERING")
        await eventually(lambda: two.first.value("streamd_fragments_received_total", stream="door"))
        assert {ack["EventType"] for ack in session.acks} == {"BUFFERING"}
        two.first_member.sure = True
        await session.ack("PERSISTED")
        await session.end()
    kinds = [ack["EventType"] for ack in session.acks]
    assert (kinds.count("RECEIVED"), kinds.count("PERSISTED")) == (2, 2)


async def test_a_former_home_lets_go(two: Two) -> None:
    """Its producer is sent away without a promise, its consumers end, new calls are refused."""
    await two.first.create()
    async with (
        two.first.put_media() as session,
        two.first.get_media(StartSelectorType="NOW") as reader,
    ):
        await session.send(HEADER + cluster(0) + cluster(1))
        await session.ack("PERSISTED")
        two.first_member.sure = False
        await session.send(cluster(2))
        await session.ack("BUFFERING")
        two.kill_first()
        assert await endpoint(two.second) == two.second.url
        await two.first.gateway.look_after_homes()
        two.first_member.sure = True
        acks = await session.rest()
        async with asyncio.timeout(20):
            await reader.read()
    second = acks[[ack["EventType"] for ack in acks].index("PERSISTED") + 1 :]
    assert {ack["EventType"] for ack in second} == {"BUFFERING"}
    async with two.first.put_media() as session:
        assert session.response.status == 400
        assert session.response.headers["x-amzn-ErrorType"] == "InvalidEndpointException"


async def test_a_stream_deleted_elsewhere_ends_here(two: Two) -> None:
    """Its producer is told so by the home, whoever was asked to delete it."""
    arn = await two.first.create()
    async with two.first.put_media() as session:
        await session.send(HEADER + cluster(0))
        await session.ack("BUFFERING")
        await two.second.call("kinesisvideo", "delete_stream", StreamARN=arn)
        await two.first.gateway.look_after_homes()
        acks = await session.rest()
    assert acks[-1]["ErrorCode"] == "STREAM_DELETED"


async def test_a_retention_changed_elsewhere_holds_here(two: Two) -> None:
    """The next fragment is promised by it."""
    arn = await two.first.create(hours=0)
    info = await two.first.call("kinesisvideo", "describe_stream", StreamARN=arn)
    async with two.first.put_media() as session:
        await session.send(HEADER + cluster(0))
        await session.ack("BUFFERING")
        await two.second.call(
            "kinesisvideo",
            "update_data_retention",
            StreamARN=arn,
            CurrentVersion=info["StreamInfo"]["Version"],
            Operation="INCREASE_DATA_RETENTION",
            DataRetentionChangeInHours=1,
        )
        await two.first.gateway.look_after_homes()
        await session.send(cluster(1))
        await session.ack("PERSISTED")
        await session.end()


async def test_archived_streams_without_a_home_stay_where_they_are(tmp_path: Path) -> None:
    """After an upgrade a replica is the home of what lies on its disk, and of no more."""
    async with serving(tmp_path) as before:
        await before.create()
        await before.upload(HEADER + cluster(0))
        await before.create("yard")
    async with serving(tmp_path, membership=Member("first")) as after:
        assert await home_of(after) == "first"
        yard = await asyncio.to_thread(after.store.video_stream, "0" * 12, name="yard")
        assert yard.home is None
