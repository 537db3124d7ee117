"""The little a producer needs of Kinesis Video's control plane, and signatures. Blocking."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.client
import botocore.config
import botocore.exceptions
import botocore.session
from botocore import UNSIGNED

from streamd.producer.errors import EndpointError, ProducerError, RefusedError

__all__ = ["AWS_ENDPOINT", "KinesisVideoControl", "Signer", "StreamInfo"]

AWS_ENDPOINT = "aws"
"""``--endpoint aws`` means AWS itself."""
SERVICE = "kinesisvideo"
PUT_MEDIA_PATH = "/putMedia"
# Credential sources that ask the network; against another endpoint they only cost seconds.
NETWORK_PROVIDERS = ("container-role", "iam-role")


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """The video stream a producer sends to."""

    name: str
    arn: str
    retention_hours: int
    was_created: bool


class Signer:
    """Signs requests whose body is not hashed, as Java producers sign PutMedia."""

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    def headers(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of a POST with the signature added."""
        signed = {**headers, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
        request = botocore.awsrequest.AWSRequest(method="POST", url=url, headers=signed)
        frozen = self._credentials.get_frozen_credentials()
        botocore.auth.SigV4Auth(frozen, SERVICE, self._region).add_auth(request)
        return dict(request.headers.items())


class KinesisVideoControl:
    """CreateStream, DescribeStream and GetDataEndpoint; credentials are optional.

    Args:
        endpoint_url: ``http://HOST:PORT`` of a daemon, or ``aws``.
        region: AWS region; ``None``: what AWS's own configuration says, else us-east-1.
        key: Access key id and secret; ``None``: what AWS's own configuration says.
        verify: Whether the certificate of the endpoint is verified.
        unverified_urls: Of data endpoints whose certificate is not verified.

    """

    def __init__(
        self,
        endpoint_url: str,
        *,
        region: str | None = None,
        key: tuple[str, str] | None = None,
        verify: bool = True,
        unverified_urls: Collection[str] = (),
    ) -> None:
        self.endpoint_url = _checked_endpoint(endpoint_url)
        self._unverified_urls = frozenset(url.rstrip("/") for url in unverified_urls)
        self._session = botocore.session.Session()
        if self.endpoint_url is not None:
            resolver = self._session.get_component("credential_provider")
            for provider in NETWORK_PROVIDERS:
                resolver.remove(provider)
        self.region = region or self._session.get_config_variable("region") or "us-east-1"
        if key is not None:
            self._session.set_credentials(*key)
        self._credentials = self._session.get_credentials()
        if self.endpoint_url is None and self._credentials is None:
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            raise RefusedError("AWS needs credentials", code="NoCredentials", hint=hint)
        self._client: Any = self._session.create_client(
            SERVICE,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            verify=None if verify else False,
            config=botocore.config.Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"max_attempts": 2, "mode": "standard"},
                signature_version=UNSIGNED if self._credentials is None else None,
            ),
        )

    @property
    def signer(self) -> Signer | None:
        """``None`` where no credentials are found: a daemon with ``auth.mode = "none"``."""
        return None if self._credentials is None else Signer(self._credentials, self.region)

    def ensure_stream(self, name: str, *, retention_hours: int) -> StreamInfo:
        """Return the stream, made with this retention if it does not exist.

        Raises:
            EndpointError: If nothing answers.
            RefusedError: If the service says no.

        """
        try:
            return self._describe(name, was_created=False)
        except RefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise
        # ResourceInUse: another producer was faster.
        with self._errors(), contextlib.suppress(self._client.exceptions.ResourceInUseException):
            self._client.create_stream(StreamName=name, DataRetentionInHours=retention_hours)
        return self._describe(name, was_created=True)

    def put_media_endpoint(self, name: str) -> str:
        """Return the URL that PutMedia of this stream goes to.

        Raises:
            EndpointError: If nothing answers.
            RefusedError: If the service says no.

        """
        with self._errors():
            answer = self._client.get_data_endpoint(StreamName=name, APIName="PUT_MEDIA")
        return answer["DataEndpoint"].rstrip("/") + PUT_MEDIA_PATH  # type: ignore[no-any-return]  # the client is Any

    def verifies(self, url: str) -> bool:
        """Whether the certificate behind a URL of PutMedia is verified."""
        return url.removesuffix(PUT_MEDIA_PATH) not in self._unverified_urls

    def check(self) -> None:
        """Ask for one stream, to see whether the endpoint answers and knows us.

        Raises:
            EndpointError: If nothing answers.
            RefusedError: If the service says no.

        """
        with self._errors():
            self._client.list_streams(MaxResults=1)

    def _describe(self, name: str, *, was_created: bool) -> StreamInfo:
        with self._errors():
            info = self._client.describe_stream(StreamName=name)["StreamInfo"]
        return StreamInfo(
            name=info["StreamName"],
            arn=info["StreamARN"],
            retention_hours=info.get("DataRetentionInHours", 0),
            was_created=was_created,
        )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except botocore.exceptions.ParamValidationError as error:
            raise RefusedError(str(error), code="InvalidArgumentException") from error
        except botocore.exceptions.ClientError as error:
            raise _refused(error) from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise unreachable(self.endpoint_url, error) from error


def unreachable(endpoint_url: str | None, error: Exception) -> EndpointError:
    """Return the error of an endpoint that does not answer, with what to do."""
    if endpoint_url is None:
        return EndpointError(f"AWS does not answer: {error}")
    return EndpointError(
        f"nothing answers at {endpoint_url}",
        hint="start it in another terminal: streamd serve (or name another --endpoint)",
    )


def _refused(error: botocore.exceptions.ClientError) -> ProducerError:
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    message = error.response["Error"].get("Message") or code
    if status >= 500:
        return EndpointError(f"the endpoint failed: {message}")
    hint = None
    if status in (401, 403) or "Authentication" in code or "Signature" in code:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of [auth] credentials"
    return RefusedError(f"{code}: {message}", code=code, hint=hint)


def _checked_endpoint(endpoint_url: str) -> str | None:
    if endpoint_url == AWS_ENDPOINT:
        return None
    parts = urllib.parse.urlsplit(endpoint_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(
            f"{endpoint_url!r} is not an endpoint", hint="use http://HOST:PORT, or aws"
        )
    return endpoint_url.rstrip("/")
