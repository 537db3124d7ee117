"""Objects of S3, against moto and against a client that answers what a store might."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto.s3.models import s3_backends
from pydantic import SecretStr

from streamd.aws import AwsError, AwsNotFoundError, AwsRejectedError, create_client
from streamd.aws_s3 import Bucket, put_object
from streamd.config import S3Settings
from tests.support.moto import ACCOUNT_ID, REGION, Moto, client_error, moto_server


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        server.client("s3").create_bucket(Bucket="video")
        yield server


@pytest.fixture
def bucket(moto: Moto) -> Bucket:
    return named(moto, "video")


def named(moto: Moto, name: str) -> Bucket:
    settings = S3Settings(
        endpoint_url=moto.endpoint_url, access_key_id="test", secret_access_key=SecretStr("test")
    )
    return Bucket(create_client("s3", settings, region=REGION), name)


def keys(bucket: Bucket, prefix: str, after: str = "") -> list[str]:
    return [one.key for page in bucket.list(prefix, after=after) for one in page]


def test_ranges_are_read(bucket: Bucket) -> None:
    """From an offset, up to a size; behind the end there is nothing."""
    bucket.put("range", b"0123456789", content_type="text/plain")
    assert bucket.read("range", 2, 3) == b"234"
    assert bucket.read("range", 8, 100) == b"89"
    assert bucket.read("range", 10, 1) == b""
    assert bucket.read("range", 0, 0) == b""
    assert b"".join(bucket.stream("range")) == b"0123456789"


@pytest.mark.parametrize("name", ["video", "no-such-bucket"])
def test_what_is_not_there_says_what_is_missing(moto: Moto, name: str) -> None:
    """A missing object and a missing bucket have codes of their own."""
    code = {"video": "NoSuchKey", "no-such-bucket": "NoSuchBucket"}[name]
    with pytest.raises(AwsNotFoundError) as caught:
        named(moto, name).read("nothing", 0, 1)
    assert caught.value.code == code


def test_a_bucket_is_checked(moto: Moto, bucket: Bucket) -> None:
    """One that is there passes, another does not."""
    bucket.check()
    with pytest.raises(AwsNotFoundError):
        named(moto, "no-such-bucket").check()


def test_listings_begin_behind_a_key_and_go_over_pages(bucket: Bucket) -> None:
    """Order is that of the keys; a prefix is no folder."""
    # More than one page; by requests, they would take minutes.
    backend = s3_backends[ACCOUNT_ID]["aws"]
    for number in range(1105):
        backend.put_object("video", f"list/{number:04d}", b"")
    bucket.put("listen", b"", content_type="text/plain")
    assert keys(bucket, "list/") == [f"list/{number:04d}" for number in range(1105)]
    assert keys(bucket, "list/", "list/1102") == ["list/1103", "list/1104"]
    assert keys(bucket, "list/", "list/0001")[0] == "list/0002"
    assert keys(bucket, "nothing/") == []
    bucket.delete(keys(bucket, "list/"))
    assert keys(bucket, "list") == ["listen"]


def test_deleting_what_is_not_there_is_fine(bucket: Bucket) -> None:
    """A repeat after a kill is no error."""
    bucket.put("twice", b"", content_type="text/plain")
    bucket.delete(["twice", "never"])
    bucket.delete(["twice"])
    bucket.delete([])
    assert keys(bucket, "twice") == []


class Client:
    """Answers as a test says, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            self.asked.append((operation, request))
            answer = self.answers.get(operation, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def names(self) -> list[str]:
        return [operation for operation, _ in self.asked]


@pytest.mark.parametrize("code", ["MissingContentMD5", "NotImplemented", "InvalidRequest"])
def test_stores_without_batches_are_asked_one_by_one(code: str) -> None:
    """And are not asked for a batch again."""
    client = Client(delete_objects=client_error(code, 400))
    bucket = Bucket(client, "video")
    bucket.delete(["a", "b"])
    bucket.delete(["c"])
    assert client.names() == ["delete_objects", *["delete_object"] * 3]


def test_what_was_not_deleted_is_told() -> None:
    """Errors inside an answer of 200 count; so does a failure of the whole."""
    refused = Client(delete_objects={"Errors": [{"Code": "AccessDenied", "Message": "no"}]})
    with pytest.raises(AwsError, match="AccessDenied: no"):
        Bucket(refused, "video").delete(["a"])
    busy = Client(delete_objects=client_error("SlowDown", 503))
    with pytest.raises(AwsError, match="SlowDown"):
        Bucket(busy, "video").delete(["a"])
    assert busy.names() == ["delete_objects"]


def put(client: Client, *, size: int = 1) -> None:
    put_object(
        client,
        bucket="results",
        key="a",
        body=bytes(size),
        content_type="image/jpeg",
        kms_key_id="alias/mine",
    )


def test_an_answer_without_encryption_is_a_refusal() -> None:
    """What a store wrote in clear against the request is deleted again."""
    client = Client(put_object={"ETag": "x"})
    with pytest.raises(AwsRejectedError, match="results does not encrypt"):
        put(client)
    assert client.names() == ["put_object", "delete_object"]
    put(Client(put_object={"ServerSideEncryption": "aws:kms"}))


def test_no_part_goes_to_a_store_that_does_not_encrypt() -> None:
    """It is told before the first byte."""
    client = Client(create_multipart_upload={"UploadId": "u"})
    with pytest.raises(AwsRejectedError, match="results does not encrypt"):
        put(client, size=9 * 2**20)
    assert client.names() == ["create_multipart_upload", "abort_multipart_upload"]


def test_parts_of_an_upload_that_fails_are_removed() -> None:
    """And where even that fails, the first error is the one that is told."""
    begun = {"UploadId": "u", "ServerSideEncryption": "aws:kms"}
    client = Client(
        create_multipart_upload=begun,
        upload_part=client_error("SlowDown", 503),
        abort_multipart_upload=client_error("InternalError", 500),
    )
    with pytest.raises(AwsError, match="SlowDown"):
        put(client, size=9 * 2**20)
    assert client.names() == ["create_multipart_upload", "upload_part", "abort_multipart_upload"]
