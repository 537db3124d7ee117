"""The S3 sink against moto and against a client that answers what a store might."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from streamd.aws import create_client
from streamd.config import S3Settings
from streamd.records import OutboxItem, object_item
from streamd.sinks import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError
from streamd.sinks.s3 import S3Sink
from tests.support.moto import REGION, Moto, client_error, moto_server


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        server.client("s3").create_bucket(Bucket="results")
        yield server


@pytest.fixture
async def sink(moto: Moto) -> AsyncIterator[S3Sink]:
    settings = S3Settings(
        endpoint_url=moto.endpoint_url, access_key_id="test", secret_access_key=SecretStr("test")
    )
    sink = S3Sink(partial(create_client, "s3", settings, region=REGION))
    await sink.open()
    yield sink
    await sink.aclose()


def picture(key: str, *, bucket: str = "results", kms_key_id: str | None = None) -> OutboxItem:
    return object_item(
        key.encode(), bucket=bucket, key=key, content_type="image/jpeg", kms_key_id=kms_key_id
    )


async def test_objects_arrive(sink: S3Sink, moto: Moto) -> None:
    """Bytes and content type are those of the items."""
    await sink.deliver([picture(f"cams/{number}.jpg") for number in range(20)])
    found = moto.client("s3").get_object(Bucket="results", Key="cams/7.jpg")
    assert (found["Body"].read(), found["ContentType"]) == (b"cams/7.jpg", "image/jpeg")
    listed = moto.client("s3").list_objects_v2(Bucket="results", Prefix="cams/")
    assert listed["KeyCount"] == 20


async def test_objects_are_encrypted_with_the_processors_key(sink: S3Sink, moto: Moto) -> None:
    """KmsKeyId becomes SSE-KMS."""
    await sink.deliver([picture("secret.jpg", kms_key_id="alias/results")])
    found = moto.client("s3").head_object(Bucket="results", Key="secret.jpg")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/results")


async def test_a_long_object_goes_in_parts(sink: S3Sink, moto: Moto) -> None:
    """Over 8 MiB: whole, with its type and its key, and nothing of the upload stays behind."""
    body = bytes(range(256)) * 40_000
    long = object_item(
        body,
        bucket="results",
        key="long/results.json",
        content_type="application/json",
        kms_key_id="alias/results",
    )
    await sink.deliver([long])
    client = moto.client("s3")
    found = client.get_object(Bucket="results", Key="long/results.json")
    assert found["Body"].read() == body
    assert (found["ContentType"], found["ServerSideEncryption"]) == ("application/json", "aws:kms")
    # The tag of an object in two parts says so.
    assert found["ETag"].endswith('-2"')
    assert "Uploads" not in client.list_multipart_uploads(Bucket="results")


async def test_a_long_object_for_a_missing_bucket_is_gone(sink: S3Sink) -> None:
    """An upload in parts fails as one in a single request does."""
    long = object_item(bytes(9 * 2**20), bucket="no-such", key="a", content_type="image/jpeg")
    with pytest.raises(SinkGoneError, match=r"^Bucket no-such not found$"):
        await sink.deliver([long])


async def test_a_repeat_is_the_same_object(sink: S3Sink, moto: Moto) -> None:
    """What is sent twice is there once."""
    for _ in range(2):
        await sink.deliver([picture("again/a.jpg")])
    listed = moto.client("s3").list_objects_v2(Bucket="results", Prefix="again/")
    assert listed["KeyCount"] == 1


@pytest.mark.parametrize(
    ("style", "url"),
    [
        ("auto", "http://store.example:9000/results/a"),
        ("path", "http://store.example:9000/results/a"),
        ("virtual", "http://results.store.example:9000/a"),
    ],
)
def test_the_settings_say_where_the_bucket_stands(style: str, url: str) -> None:
    """In the path, as most stores want it, or in the host's name."""
    settings = S3Settings.model_validate(
        {
            "endpoint_url": "http://store.example:9000",
            "access_key_id": "test",
            "secret_access_key": "test",
            "addressing_style": style,
        }
    )
    client = create_client("s3", settings, region=REGION)
    signed: str = client.generate_presigned_url("get_object", {"Bucket": "results", "Key": "a"})
    assert signed.partition("?")[0] == url


@pytest.mark.parametrize("call", ["check", "deliver"])
async def test_a_missing_bucket_is_gone(sink: S3Sink, call: str) -> None:
    """It is named in the message."""
    calls = {
        "check": lambda: sink.check("no-such-bucket"),
        "deliver": lambda: sink.deliver([picture("a", bucket="no-such-bucket")]),
    }
    with pytest.raises(SinkGoneError, match=r"^Bucket no-such-bucket not found$"):
        await calls[call]()


async def test_an_existing_bucket_passes_the_check(sink: S3Sink) -> None:
    """Nothing is raised."""
    await sink.check("results")


class Client:
    """Fails for the keys a test names."""

    def __init__(self, failures: dict[str, Exception]) -> None:
        self._failures = failures

    def put_object(self, **request: Any) -> None:
        if request["Key"] in self._failures:
            raise self._failures[request["Key"]]

    def head_bucket(self, **_: Any) -> None:
        raise client_error("403", 403)


async def opened(failures: dict[str, Exception]) -> S3Sink:
    sink = S3Sink(lambda: Client(failures))
    await sink.open()
    return sink


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (client_error("SlowDown", 503), SinkUnavailableError, "SlowDown: text"),
        (client_error("EntityTooLarge", 400), SinkRejectedError, "1 refused: EntityTooLarge: text"),
        (client_error("AccessDenied", 403), SinkGoneError, "Access denied to S3 bucket results"),
        (
            client_error("KMS.DisabledException", 400),
            SinkGoneError,
            "Access denied to S3 bucket results",
        ),
        (
            client_error("NotImplemented", 501),
            SinkGoneError,
            "S3 bucket results cannot encrypt with a KMS key",
        ),
    ],
    ids=["busy", "too large", "denied", "key disabled", "no SSE-KMS"],
)
async def test_a_failed_object_leaves_the_others_delivered(
    failure: Exception, kind: type[SinkError], message: str
) -> None:
    """The error says what to do; busy and refused ones name the objects that arrived."""
    sink = await opened({"b": failure})
    with pytest.raises(kind) as caught:
        await sink.deliver([picture("a"), picture("b"), picture("c")])
    await sink.aclose()
    assert str(caught.value) == message
    if kind is not SinkGoneError:
        assert caught.value.settled == frozenset({0, 2})


async def test_a_refused_object_is_told_before_a_busy_one() -> None:
    """The refused one is buried first; the busy one is sent again with the rest."""
    sink = await opened(
        {"a": client_error("SlowDown", 503), "b": client_error("EntityTooLarge", 400)}
    )
    with pytest.raises(SinkRejectedError) as caught:
        await sink.deliver([picture("a"), picture("b"), picture("c")])
    await sink.aclose()
    assert (caught.value.settled, set(caught.value.rejected)) == (frozenset({2}), {1})


async def test_a_fault_of_ours_is_not_hidden() -> None:
    """What is no answer of a store goes up as it is."""
    sink = await opened({"a": ZeroDivisionError("ours")})
    with pytest.raises(ZeroDivisionError):
        await sink.deliver([picture("a")])
    await sink.aclose()


async def test_a_role_that_may_only_put_passes_the_check() -> None:
    """HEAD of a bucket needs a right that AWS's policy does not give."""
    sink = await opened({})
    await sink.check("results")
    await sink.aclose()
