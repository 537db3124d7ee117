"""The door to boto3: clients, errors, images."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import exceptions as botocore_errors
from pydantic import SecretStr

from streamd import aws
from streamd.config import KinesisSettings, S3Settings
from streamd.errors import ConfigError
from tests.support.moto import REGION, Moto, client_error, moto_server


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        client = server.client("s3")
        client.create_bucket(Bucket="images")
        client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket="images", Key="alice.jpg", Body=b"old picture")
        client.put_object(Bucket="images", Key="alice.jpg", Body=b"new picture")
        yield server


@pytest.fixture
def objects(moto: Moto) -> aws.S3Objects:
    settings = S3Settings(
        endpoint_url=moto.endpoint_url,
        access_key_id="test",
        secret_access_key=SecretStr("test"),
    )
    return aws.S3Objects(settings, region=REGION)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("SlowDown", 503), aws.AwsUnavailableError),
        (client_error("ProvisionedThroughputExceededException", 400), aws.AwsUnavailableError),
        (client_error("InternalFailure", 500), aws.AwsUnavailableError),
        (client_error("SomethingNew", 502), aws.AwsUnavailableError),
        (client_error("ExpiredTokenException", 403), aws.AwsUnavailableError),
        (client_error("KMSThrottlingException", 400), aws.AwsUnavailableError),
        (client_error("ResourceNotFoundException", 400), aws.AwsNotFoundError),
        (client_error("NoSuchBucket", 404), aws.AwsNotFoundError),
        (client_error("404", 404), aws.AwsNotFoundError),
        (client_error("AccessDenied", 403), aws.AwsDeniedError),
        (client_error("AccessDeniedException", 400), aws.AwsDeniedError),
        (client_error("SignatureDoesNotMatch", 403), aws.AwsDeniedError),
        (client_error("UnrecognizedClientException", 400), aws.AwsDeniedError),
        (client_error("KMS.DisabledException", 400), aws.AwsDeniedError),
        (client_error("KMSInvalidStateException", 400), aws.AwsDeniedError),
        (client_error("NotImplemented", 501), aws.AwsRejectedError),
        (client_error("EntityTooLarge", 400), aws.AwsRejectedError),
        (botocore_errors.NoCredentialsError(), aws.AwsDeniedError),
        (botocore_errors.ParamValidationError(report="Invalid bucket"), aws.AwsRejectedError),
        (
            botocore_errors.EndpointConnectionError(endpoint_url="http://x"),
            aws.AwsUnavailableError,
        ),
        (
            botocore_errors.ReadTimeoutError(endpoint_url="http://x"),
            aws.AwsUnavailableError,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:60],
)
def test_botocores_errors_become_ours(error: Exception, kind: type[aws.AwsError]) -> None:
    """Whether to wait, to give up or to ask the operator is told by the class."""
    with pytest.raises(aws.AwsError) as caught, aws.aws_errors():
        raise error
    assert type(caught.value) is kind


def test_the_code_of_an_answer_is_kept() -> None:
    """A sink may look at AWS's own code."""
    with pytest.raises(aws.AwsError, match="NoSuchKey: text") as caught, aws.aws_errors():
        raise client_error("NoSuchKey", 404)
    assert caught.value.code == "NoSuchKey"


def test_an_impossible_endpoint_is_a_wrong_setting() -> None:
    """The daemon says so at its start."""
    settings = KinesisSettings(endpoint_url="not a url")
    with pytest.raises(ConfigError, match="'kinesis' settings make no client"):
        aws.create_client("kinesis", settings, region=REGION)


def test_the_sections_own_region_wins() -> None:
    """A bucket may live elsewhere than the daemon."""
    client = aws.create_client("s3", S3Settings(region="eu-west-1"), region=REGION)
    assert client.meta.region_name == "eu-west-1"


def test_an_object_is_fetched(objects: aws.S3Objects) -> None:
    """Without a version, the newest."""
    assert objects.fetch_object("images", "alice.jpg", max_bytes=11) == b"new picture"


def test_a_version_is_fetched(moto: Moto, objects: aws.S3Objects) -> None:
    """S3Object.Version names an older one."""
    versions = moto.client("s3").list_object_versions(Bucket="images")["Versions"]
    (old,) = [version["VersionId"] for version in versions if not version["IsLatest"]]
    assert objects.fetch_object("images", "alice.jpg", old, max_bytes=100) == b"old picture"


@pytest.mark.parametrize(
    ("bucket", "name"), [("images", "bob.jpg"), ("no-such-bucket", "alice.jpg")]
)
def test_a_missing_object_is_not_found(objects: aws.S3Objects, bucket: str, name: str) -> None:
    """Neither a missing key nor a missing bucket is an outage."""
    with pytest.raises(aws.AwsNotFoundError):
        objects.fetch_object(bucket, name, max_bytes=100)


def test_a_bucket_name_that_cannot_be_is_refused(objects: aws.S3Objects) -> None:
    """botocore refuses it before anything is sent."""
    with pytest.raises(aws.AwsRejectedError):
        objects.fetch_object("no bucket", "alice.jpg", max_bytes=100)


def test_a_large_object_is_not_read(objects: aws.S3Objects) -> None:
    """The limit holds for what the server claims."""
    with pytest.raises(aws.ObjectTooLargeError, match="longer than 10 bytes"):
        objects.fetch_object("images", "alice.jpg", max_bytes=10)


def test_a_server_that_lies_about_the_length_is_caught(objects: aws.S3Objects) -> None:
    """No more than the limit is ever read into memory."""

    class Lying:
        def get_object(self, **_: object) -> dict[str, Any]:
            return {"Body": io.BytesIO(b"x" * 1000)}

    objects._client = Lying()
    with pytest.raises(aws.ObjectTooLargeError):
        objects.fetch_object("images", "alice.jpg", max_bytes=10)


def test_an_unreachable_server_is_unavailable() -> None:
    """A closed port is an outage, not a missing image."""
    settings = S3Settings(
        endpoint_url="http://127.0.0.1:9",
        access_key_id="test",
        secret_access_key=SecretStr("test"),
    )
    client = aws.create_client("s3", settings, region=REGION, attempts=1)
    with pytest.raises(aws.AwsUnavailableError, match="Could not connect"), aws.aws_errors():
        client.get_object(Bucket="images", Key="alice.jpg")


@pytest.mark.parametrize("code", ["InvalidSignatureException", "SignatureDoesNotMatch"])
def test_a_signature_refused_for_its_time_is_no_denial(code: str) -> None:
    """A wrong clock is set right some day; a wrong key is not."""
    late = client_error(code, 403)
    late.response["Error"]["Message"] = "Signature expired: 1 is now earlier than 2"
    with pytest.raises(aws.AwsUnavailableError), aws.aws_errors():
        raise late


def test_a_key_called_expired_is_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever renews it in the environment, or in a file, is heard without a restart."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOLD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    chain = aws.CredentialChain()
    old = chain.key()
    assert old is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    assert chain.key() == old
    new = chain.key(expired=old)
    assert new is not None
    assert (old.access_key, new.access_key) == ("AKIDOLD", "AKIDNEW")
    assert chain.key(expired=old) == new
