"""Roles, assumed at moto and at clients that answer what STS might."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from streamd import roles
from streamd.aws import AwsDeniedError, AwsUnavailableError
from streamd.roles import AssumedRoles
from tests.support.moto import REGION, Moto, client_error, moto_server

ROLE = "arn:aws:iam::123456789012:role/viewer"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


class FakeSts:
    """Gives key after key, each valid for so long; or raises."""

    def __init__(self, *, lasts: timedelta = timedelta(hours=1)) -> None:
        self.asked: list[dict[str, str]] = []
        self.lasts = lasts
        self.error: Exception | None = None
        self.now = datetime.now(UTC)
        """By the service's clock."""
        self.made = 0
        self.hold = threading.Event()
        self.hold.set()

    def make(self, **_: object) -> FakeSts:
        self.made += 1
        return self

    def assume_role(self, **request: str) -> dict[str, Any]:
        self.asked.append(request)
        assert self.hold.wait(10)
        if self.error is not None:
            raise self.error
        number = len(self.asked)
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{number}",
                "SecretAccessKey": "secret",
                "SessionToken": f"token-{number}",
                "Expiration": self.now + self.lasts,
            },
            "ResponseMetadata": {
                "HTTPHeaders": {"date": format_datetime(self.now, usegmt=True)},
            },
        }


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> FakeSts:
    fake = FakeSts()
    monkeypatch.setattr(roles, "create_sts_client", fake.make)
    return fake


def test_moto_gives_a_key(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    """AssumeRole on the wire, with the credentials of the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDAEMON")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assumed = AssumedRoles(region=REGION, endpoint_url=moto.endpoint_url)
    key = assumed.key(ROLE)
    assert str(key.access_key).startswith("ASIA")
    assert key.token
    assert assumed.key(ROLE) == key


def test_one_session_of_each_role(sts: FakeSts) -> None:
    """Many stream processors name few roles: each is assumed once, however many ask at once."""
    sts.hold.clear()
    assumed = AssumedRoles(region=REGION)
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(assumed.key, ROLE) for _ in range(8)]
        sts.hold.set()
        keys = {future.result(10).access_key for future in found}
    assert keys == {"ASIA1"}
    assert sts.asked == [{"RoleArn": ROLE, "RoleSessionName": "streamd"}]
    assumed.key(ROLE + "-2")
    assert len(sts.asked) == 2


def test_a_key_near_its_end_is_replaced(sts: FakeSts) -> None:
    """Ten minutes are too little to begin a call of 45 with; botocore renews it before."""
    sts.lasts = timedelta(minutes=9)
    assumed = AssumedRoles(region=REGION)
    assert assumed.key(ROLE).access_key == "ASIA1"
    assert assumed.key(ROLE).access_key == "ASIA2"


def test_an_expired_key_is_replaced_once(sts: FakeSts) -> None:
    """Two callers that were refused with the same key share the next."""
    assumed = AssumedRoles(region=REGION)
    first = assumed.key(ROLE)
    assert assumed.key(ROLE, expired=first).access_key == "ASIA2"
    assert assumed.key(ROLE, expired=first).access_key == "ASIA2"
    assert assumed.credentials(ROLE).get_frozen_credentials().access_key == "ASIA2"
    assert len(sts.asked) == 2


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=-2)], ids=str)
def test_age_goes_by_the_services_clock(sts: FakeSts, ahead: timedelta) -> None:
    """A machine whose own clock is days wrong neither drops a good key nor keeps an old one."""
    sts.now = datetime.now(UTC) + ahead
    assumed = AssumedRoles(region=REGION)
    assert assumed.key(ROLE).access_key == "ASIA1"
    assert assumed.key(ROLE).access_key == "ASIA1"
    sts.lasts = timedelta(minutes=5)
    assumed.key(ROLE, expired=assumed.key(ROLE))
    assert assumed.key(ROLE).access_key == "ASIA3"


def test_what_is_given_expired_is_unavailable(sts: FakeSts) -> None:
    """botocore raises a bare RuntimeError; for a session it is something that may pass."""
    sts.lasts = timedelta(minutes=-1)
    with pytest.raises(AwsUnavailableError, match="still expired"):
        AssumedRoles(region=REGION).key(ROLE)


def test_denied_and_away_are_told_apart(sts: FakeSts) -> None:
    """And neither is for ever: the next call asks again, with a new client."""
    assumed = AssumedRoles(region=REGION)
    sts.error = client_error("AccessDenied", 403)
    with pytest.raises(AwsDeniedError):
        assumed.key(ROLE)
    sts.error = NoCredentialsError()
    with pytest.raises(AwsDeniedError):
        assumed.key(ROLE)
    sts.error = client_error("Throttling", 400)
    with pytest.raises(AwsUnavailableError):
        assumed.key(ROLE)
    sts.error = None
    assert assumed.key(ROLE).access_key == "ASIA4"
    assert sts.made == 4
