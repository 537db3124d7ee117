"""The one door to boto3: clients from settings, its errors as ours, images from S3.

::

    AwsError                    (StreamdError)
    ├── AwsUnavailableError     network, throttling, server fault: may work later
    ├── AwsNotFoundError        the stream, bucket, key or topic is not there
    ├── AwsDeniedError          credentials, rights or keys do not allow it
    └── AwsRejectedError        the request itself is wrong
        └── ObjectTooLargeError an object is longer than asked for

Everything here blocks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, ReadOnlyCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from streamd.config import KinesisSettings, S3Settings, SnsSettings
from streamd.errors import ConfigError, StreamdError

__all__ = [
    "AwsDeniedError",
    "AwsError",
    "AwsNotFoundError",
    "AwsRejectedError",
    "AwsUnavailableError",
    "CredentialChain",
    "ObjectTooLargeError",
    "S3Objects",
    "aws_errors",
    "create_client",
    "create_sts_client",
    "fixed_key",
    "tells_wrong_clock",
]

_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = 30
_STS_READ_TIMEOUT_SECONDS = 10
NO_KEY_SECONDS = 30.0
"""Where no credentials are found they are not looked for again at once: that may take seconds."""

_TRANSIENT_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalError",
        "InternalFailure",
        "KMSThrottled",
        "KMSThrottlingException",
        "LimitExceededException",
        "OperationAborted",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NOT_FOUND_CODES = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
    }
)
_DENIED_CODES = frozenset(
    {
        "AuthorizationError",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class AwsError(StreamdError):
    """A call to AWS, or to what stands for it, did not work."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code
        """AWS's error code, or botocore's class of error."""


class AwsUnavailableError(AwsError):
    """The service cannot be reached or is busy."""


class AwsNotFoundError(AwsError):
    """What the request names does not exist."""


class AwsDeniedError(AwsError):
    """Credentials are missing, wrong or not allowed to do this, or a key cannot be used."""


class AwsRejectedError(AwsError, ValueError):
    """The service, or botocore before it, finds the request wrong."""


class ObjectTooLargeError(AwsRejectedError):
    """An object is longer than the limit it was asked for with."""


def create_client(
    service: Literal["kinesis", "s3", "sns"],
    settings: KinesisSettings | S3Settings | SnsSettings,
    *,
    region: str,
    max_connections: int = 10,
    attempts: int = 1,
    credentials: Any = None,
) -> Any:
    """Return a thread-safe boto3 client.

    Args:
        service: Name of the service.
        settings: Its section of the settings.
        region: Region where the section names none.
        max_connections: Size of the connection pool.
        attempts: Tries per call; 1 where the caller has a back-off of its own.
        credentials: botocore's credentials to call with instead of the section's own.

    Raises:
        ConfigError: If no client can be made from the settings.

    """
    options: dict[str, Any] = {}
    if isinstance(settings, S3Settings):
        # boto3 adds newer checksum headers to every request; not every store knows them.
        options["request_checksum_calculation"] = settings.checksums
        options["response_checksum_validation"] = settings.checksums
        options["s3"] = {"addressing_style": settings.addressing_style}
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=_READ_TIMEOUT_SECONDS,
        max_pool_connections=max_connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        user_agent_extra="streamd",
        **options,
    )
    secret = settings.secret_access_key
    try:
        return _session(credentials).client(
            service,
            endpoint_url=settings.endpoint_url,
            region_name=settings.region or region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise ConfigError(f"'{service}' settings make no client: {error}") from error


def create_sts_client(*, region: str, endpoint_url: str | None = None) -> Any:
    """Return a client of AWS's Security Token Service, with the credentials boto3 finds.

    Raises:
        ConfigError: If no client can be made from the settings.

    """
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=_STS_READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent_extra="streamd",
    )
    try:
        return boto3.Session().client(
            "sts", endpoint_url=endpoint_url, region_name=region, config=config
        )
    except ValueError as error:
        raise ConfigError(f"'aws.sts_endpoint_url' makes no client: {error}") from error


class _Given(CredentialProvider):
    """The end of a search for credentials: they are known."""

    METHOD = "given"

    def __init__(self, credentials: Any) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Any:
        return self._credentials


def _session(credentials: Any) -> boto3.Session:
    if credentials is None:
        return boto3.Session()
    session = botocore.session.get_session()
    resolver = CredentialResolver([_Given(credentials)])
    session.register_component("credential_provider", resolver)
    return boto3.Session(botocore_session=session)


def fixed_key(access_key_id: str, secret_access_key: str) -> ReadOnlyCredentials:
    """Return a key to sign with, from its two parts."""
    return ReadOnlyCredentials(access_key_id, secret_access_key, None)


class CredentialChain:
    """boto3's own search for credentials: environment, files, roles. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: Any = None  # found at a call; refreshes itself
        self._not_before = float("-inf")

    def key(self, *, expired: ReadOnlyCredentials | None = None) -> ReadOnlyCredentials | None:
        """Return the key that is valid now, ``None`` where there is none.

        Args:
            expired: What a service has just refused as expired: it is looked for anew.

        Raises:
            AwsError: If credentials that should be there cannot be had.

        """
        with self._lock, aws_errors():
            if self._credentials is not None and expired is not None:
                held: ReadOnlyCredentials = self._credentials.get_frozen_credentials()
                if held.access_key == expired.access_key and held.token == expired.token:
                    self._credentials = None
            if self._credentials is None and time.monotonic() >= self._not_before:
                self._credentials = boto3.Session().get_credentials()
                if self._credentials is None:
                    self._not_before = time.monotonic() + NO_KEY_SECONDS
            if self._credentials is None:
                return None
            frozen: ReadOnlyCredentials = self._credentials.get_frozen_credentials()
            return frozen


@contextlib.contextmanager
def aws_errors() -> Iterator[None]:
    """Map botocore's errors to ours."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error) from error
    except (NoCredentialsError, PartialCredentialsError, TokenRetrievalError) as error:
        raise AwsDeniedError(str(error), code=type(error).__name__) from error
    except (ParamValidationError, NoRegionError) as error:
        raise AwsRejectedError(str(error), code=type(error).__name__) from error
    except BotoCoreError as error:
        raise AwsUnavailableError(str(error), code=type(error).__name__) from error


def _from_answer(error: ClientError) -> AwsError:
    detail = error.response.get("Error", {})
    code = str(detail.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = str(detail.get("Message") or "")
    message = f"{code}: {text or 'no message'}"
    if tells_wrong_clock(text):
        return AwsUnavailableError(message, code=code)
    return _class_of(code, status)(message, code=code)


def tells_wrong_clock(text: str) -> bool:
    """Return whether AWS refuses a signature for its time alone, by what it says.

    "Signature expired: 20260101T000000Z is now earlier than …", "Signature not yet current: …":
    the code is that of any wrong signature.
    """
    return text.startswith(("Signature expired", "Signature not yet current"))


def _class_of(code: str, status: int) -> type[AwsError]:
    if code in _TRANSIENT_CODES:
        return AwsUnavailableError
    if code in _NOT_FOUND_CODES:
        return AwsNotFoundError
    # A key that is missing, disabled or not ours: nothing can be written with it.
    if code in _DENIED_CODES or code.startswith(("AccessDenied", "KMS")):
        return AwsDeniedError
    if status in {401, 403}:
        return AwsDeniedError
    # 501: a store that cannot do this at all will not learn it.
    if status >= 500 and status != 501:
        return AwsUnavailableError
    return AwsRejectedError


class S3Objects:
    """Reads images from S3. The client is made at the first call; thread-safe."""

    def __init__(self, settings: S3Settings, *, region: str) -> None:
        self._settings = settings
        self._region = region
        self._lock = threading.Lock()
        self._client: Any = None  # made by the first caller, under the lock

    def fetch_object(
        self, bucket: str, name: str, version: str | None = None, *, max_bytes: int
    ) -> bytes:
        """Return an object's bytes.

        Raises:
            ObjectTooLargeError: If it is longer than ``max_bytes``.
            AwsNotFoundError: If there is no such bucket, object or version.
            AwsError: If it cannot be read for another reason.

        """
        request = {"Bucket": bucket, "Key": name}
        if version is not None:
            request["VersionId"] = version
        with aws_errors():
            answer = self._open().get_object(**request)
            with contextlib.closing(answer["Body"]) as body:
                # The length a server claims may be a lie; the bytes are counted too.
                claimed = int(answer.get("ContentLength", 0))
                data: bytes = b"" if claimed > max_bytes else body.read(max_bytes + 1)
        if claimed > max_bytes or len(data) > max_bytes:
            raise ObjectTooLargeError(
                f"object {name!r} of bucket {bucket!r} is longer than {max_bytes} bytes"
            )
        return data

    def _open(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = create_client("s3", self._settings, region=self._region, attempts=3)
            return self._client
