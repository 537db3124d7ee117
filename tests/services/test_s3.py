"""The S3 sink, and images by bucket and key, against a real S3 server."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from streamd.aws import create_client
from streamd.config import S3Settings
from streamd.records import OutboxItem, object_item
from streamd.sinks import SinkGoneError, SinkUnavailableError
from streamd.sinks.s3 import S3Sink
from tests.services.fetched import ServiceUnavailableError
from tests.services.s3 import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    S3Server,
    s3_server,
)
from tests.support.daemon import running_daemon
from tests.support.faces import portrait

pytestmark = [
    pytest.mark.service,
    # The first run builds the server.
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        with s3_server(tmp_path_factory.mktemp("s3")) as server:
            server.client().create_bucket(Bucket="results")
            server.create_user("AKIDPOOR", "poor-secret")
            yield server
    except ServiceUnavailableError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def opened(server: S3Server, **settings: object) -> AsyncIterator[S3Sink]:
    values = {
        "endpoint_url": server.endpoint_url,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "region": REGION,
        **settings,
    }
    made = S3Settings.model_validate(values)
    sink = S3Sink(partial(create_client, "s3", made, region=REGION, attempts=1))
    await sink.open()
    try:
        yield sink
    finally:
        await sink.aclose()


def picture(key: str, body: bytes = b"", *, kms_key_id: str | None = None) -> OutboxItem:
    return object_item(
        body or key.encode(),
        bucket="results",
        key=key,
        content_type="image/jpeg",
        kms_key_id=kms_key_id,
    )


@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
@pytest.mark.parametrize("style", ["path", "auto"])
async def test_objects_arrive(server: S3Server, style: str, checksums: str) -> None:
    """Bytes and type are those of the items, with either kind of checksum, bucket in the path."""
    prefix = f"{style}-{checksums}"
    async with opened(server, addressing_style=style, checksums=checksums) as sink:
        await sink.check("results")
        await sink.deliver([picture(f"{prefix}/a b+ü/{number}.jpg") for number in range(10)])
    found = server.client().get_object(Bucket="results", Key=f"{prefix}/a b+ü/7.jpg")
    assert found["Body"].read() == f"{prefix}/a b+ü/7.jpg".encode()
    assert found["ContentType"] == "image/jpeg"
    listed = server.client().list_objects_v2(Bucket="results", Prefix=f"{prefix}/")
    assert listed["KeyCount"] == 10


async def test_a_long_object_goes_in_parts(server: S3Server) -> None:
    """Over 8 MiB it is whole, and nothing of the upload stays behind."""
    body = bytes(range(256)) * 70_000
    async with opened(server) as sink:
        await sink.deliver([picture("long/results.json", body)])
    found = server.client().get_object(Bucket="results", Key="long/results.json")
    assert found["Body"].read() == body
    assert found["ETag"].endswith('-3"')
    assert not server.client().list_multipart_uploads(Bucket="results").get("Uploads")


@pytest.mark.parametrize("size", [100, 9 * 2**20], ids=["short", "long"])
async def test_what_cannot_be_encrypted_is_refused_and_not_left_in_clear(
    server: S3Server, size: int
) -> None:
    """This server ignores SSE-KMS and answers 200: the session ends, and nothing lies there."""
    async with opened(server) as sink:
        with pytest.raises(SinkGoneError, match="results cannot encrypt with a KMS key"):
            await sink.deliver([picture("secret.jpg", bytes(size), kms_key_id="alias/mine")])
    with pytest.raises(ClientError, match="404"):
        server.client().head_object(Bucket="results", Key="secret.jpg")
    assert not server.client().list_multipart_uploads(Bucket="results").get("Uploads")


@pytest.mark.parametrize(
    ("settings", "bucket", "message"),
    [
        ({"secret_access_key": "wrong"}, "results", "Access denied to S3 bucket results"),
        (
            {"access_key_id": "AKIDPOOR", "secret_access_key": "poor-secret"},
            "results",
            "Access denied to S3 bucket results",
        ),
        ({}, "no-such-bucket", "Bucket no-such-bucket not found"),
    ],
    ids=["wrong signature", "no right", "no bucket"],
)
async def test_what_will_not_heal_by_itself_ends_the_session(
    server: S3Server, settings: dict[str, object], bucket: str, message: str
) -> None:
    """A wrong key, a missing right and a missing bucket are told in AWS's words."""
    item = object_item(b"x", bucket=bucket, key="a", content_type="image/jpeg")
    async with opened(server, **settings) as sink:
        with pytest.raises(SinkGoneError, match=message):
            await sink.deliver([item])


async def test_a_server_that_is_away_is_waited_for(server: S3Server) -> None:
    """Stopped, it makes the sink unavailable; started again, the same objects arrive."""
    items = [picture(f"away/{number}.jpg") for number in range(3)]
    async with opened(server) as sink:
        server.stop()
        try:
            with pytest.raises(SinkUnavailableError):
                await sink.deliver(items)
        finally:
            server.start()
        await sink.deliver(items)
    listed = server.client().list_objects_v2(Bucket="results", Prefix="away/")
    assert listed["KeyCount"] == 3


def test_faces_are_indexed_from_the_server(server: S3Server, tmp_path: Path) -> None:
    """IndexFaces by bucket and key; a missing object is AWS's error."""
    photo = io.BytesIO()
    portrait().save(photo, "JPEG")
    server.client().put_object(Bucket="results", Key="people/eileen.jpg", Body=photo.getvalue())
    settings = {
        "STREAMD_S3__ENDPOINT_URL": server.endpoint_url,
        "STREAMD_S3__ACCESS_KEY_ID": ACCESS_KEY,
        "STREAMD_S3__SECRET_ACCESS_KEY": SECRET_KEY,
        "STREAMD_SERVER__WORKERS": "0",
    }
    with running_daemon(tmp_path / "data", settings) as daemon:
        rekognition = daemon.client("rekognition")
        rekognition.create_collection(CollectionId="people")

        def image(key: str) -> dict[str, object]:
            return {"S3Object": {"Bucket": "results", "Name": key}}

        indexed = rekognition.index_faces(
            CollectionId="people", Image=image("people/eileen.jpg"), ExternalImageId="eileen"
        )
        assert [one["Face"]["ExternalImageId"] for one in indexed["FaceRecords"]] == ["eileen"]
        with pytest.raises(rekognition.exceptions.InvalidS3ObjectException):
            rekognition.index_faces(CollectionId="people", Image=image("people/nobody.jpg"))
