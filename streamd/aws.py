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
from collections.abc import Iterator
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
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
    "fixed_key",
]

_CONNECT_TIMEOUT_SECONDS = 5
_READ_TIMEOUT_SECONDS = 30

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
) -> Any:
    """Return a thread-safe boto3 client.

    Args:
        service: Name of the service.
        settings: Its section of the settings.
        region: Region where the section names none.
        max_connections: Size of the connection pool.
        attempts: Tries per call; 1 where the caller has a back-off of its own.

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
        return boto3.Session().client(
            service,
            endpoint_url=settings.endpoint_url,
            region_name=settings.region or region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise ConfigError(f"'{service}' settings make no client: {error}") from error


def fixed_key(access_key_id: str, secret_access_key: str) -> ReadOnlyCredentials:
    """Return a key to sign with, from its two parts."""
    return ReadOnlyCredentials(access_key_id, secret_access_key, None)


class CredentialChain:
    """boto3's own search for credentials: environment, files, roles. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: Any = None  # found at the first call; refreshes itself

    def key(self) -> ReadOnlyCredentials | None:
        """Return the key that is valid now, ``None`` where there is none."""
        with self._lock, aws_errors():
            if self._credentials is None:
                self._credentials = boto3.Session().get_credentials()
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
    message = f"{code}: {detail.get('Message') or 'no message'}"
    return _class_of(code, status)(message, code=code)


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
