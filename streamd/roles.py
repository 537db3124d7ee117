"""Roles of stream processors, assumed with the daemon's own credentials.

AWS reads a stream processor's video, and writes its results, by the role that its ``RoleArn``
names. So does the daemon where the settings say so: one session of each role serves all stream
processors that name it, and is renewed before it ends. Everything here blocks, and is safe for
threads.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.credentials import DeferredRefreshableCredentials, ReadOnlyCredentials

from streamd.aws import AwsUnavailableError, aws_errors, create_sts_client

__all__ = ["ROLE_DENIED", "AssumedRoles"]

ROLE_DENIED = "Access denied to Role"
"""StatusMessage (*Developer Guide*, "Troubleshooting streaming video")."""
SESSION_NAME = "streamd"
"""What CloudTrail shows behind the role's name."""
_LONG_AFTER = timedelta(days=365)


class AssumedRoles:
    """Credentials of roles, one session each.

    Args:
        region: Whose Security Token Service is asked.
        endpoint_url: Of that service; ``None``: AWS.

    """

    def __init__(self, *, region: str, endpoint_url: str | None = None) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()
        self._roles: dict[str, _Role] = {}

    def key(
        self, role_arn: str, *, expired: ReadOnlyCredentials | None = None
    ) -> ReadOnlyCredentials:
        """Return the key that is valid now, assuming the role where that is due.

        Args:
            role_arn: The role.
            expired: What a service has just refused as expired: the role is assumed again.

        Raises:
            AwsUnavailableError: If the role cannot be assumed now.
            AwsError: If it cannot be assumed.

        """
        role = self._role(role_arn)
        try:
            with aws_errors():
                return role.key(expired)
        except RuntimeError as error:
            # botocore: "Credentials were refreshed, but … are still expired".
            raise AwsUnavailableError(str(error), code="ExpiredToken") from error

    def credentials(self, role_arn: str) -> Any:
        """Return botocore credentials that a client keeps, see :func:`aws.create_client`."""
        return self._role(role_arn).credentials

    def _role(self, role_arn: str) -> _Role:
        with self._lock:
            if role_arn not in self._roles:
                self._roles[role_arn] = _Role(role_arn, self._region, self._endpoint_url)
            return self._roles[role_arn]


class _Role:
    """The session of one role.

    Its age is told by the service's clock and this machine's monotonic one: a wall clock that is
    wrong makes no key look expired, nor an expired one valid.
    """

    def __init__(self, role_arn: str, region: str, endpoint_url: str | None) -> None:
        self._role_arn = role_arn
        self._region = region
        self._endpoint_url = endpoint_url
        self._client: Any = None  # made by the first refresh, again after one that failed
        self._assumed_at = datetime.now(UTC)
        self._assumed_monotonic = time.monotonic()
        self._is_void = False
        # Refreshed 15 minutes before its end by one caller, 10 minutes before it by all.
        self.credentials = DeferredRefreshableCredentials(
            refresh_using=self._assume, method="sts-assume-role", time_fetcher=self._now
        )

    def key(self, expired: ReadOnlyCredentials | None) -> ReadOnlyCredentials:
        held: ReadOnlyCredentials = self.credentials.get_frozen_credentials()
        if expired is None or held.token != expired.token:
            return held
        self._is_void = True
        renewed: ReadOnlyCredentials = self.credentials.get_frozen_credentials()
        return renewed

    def _now(self) -> datetime:
        since = timedelta(seconds=time.monotonic() - self._assumed_monotonic)
        now = self._assumed_at + since
        return now + _LONG_AFTER if self._is_void else now

    def _assume(self) -> dict[str, str]:
        """Call AssumeRole; botocore lets one thread at a time in here."""
        client = self._client or create_sts_client(
            region=self._region, endpoint_url=self._endpoint_url
        )
        self._client = None
        answer = client.assume_role(RoleArn=self._role_arn, RoleSessionName=SESSION_NAME)
        # Kept only if it works: one that was made without credentials never finds any.
        self._client = client
        self._assumed_at = _date_of(answer)
        self._assumed_monotonic = time.monotonic()
        self._is_void = False
        found = answer["Credentials"]
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }


def _date_of(answer: dict[str, Any]) -> datetime:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
