"""Who the GetMedia client calls as: keys found, replaced, and signed with at the right time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import web
from botocore.credentials import ReadOnlyCredentials

from streamd.aws import AwsDeniedError, AwsError, AwsRejectedError, AwsUnavailableError
from streamd.ingest.errors import AccessDeniedError, MediaUnavailableError, RoleDeniedError
from streamd.ingest.getmedia import KinesisVideoClient
from tests.support.video_service import ARN, FakeService, read

ROLE = "arn:aws:iam::000000000000:role/viewer"


class Keys:
    """Gives keys one after the other: the next when the one before is called expired."""

    def __init__(self, *keys: ReadOnlyCredentials) -> None:
        self._keys = list(keys)
        self.roles: list[str | None] = []

    async def __call__(
        self, role_arn: str | None, *, expired: ReadOnlyCredentials | None = None
    ) -> ReadOnlyCredentials:
        self.roles.append(role_arn)
        if expired is not None and len(self._keys) > 1:
            assert expired == self._keys.pop(0)
        return self._keys[0]


def key_of(number: int) -> ReadOnlyCredentials:
    return ReadOnlyCredentials(f"ASIA{number}", "secret", f"token-{number}", None)


async def test_signs_with_credentials(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """With credentials every call is signed for kinesisvideo in the region."""
    fake, url = service

    key = Keys(ReadOnlyCredentials("AKIATEST", "secret", "token", None))

    client = KinesisVideoClient(
        session=session, region="eu-west-1", endpoint_url=url, credentials=key
    )
    await read(client)
    for _, _, headers in fake.asked:
        assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
        assert "/eu-west-1/kinesisvideo/aws4_request" in headers["Authorization"]
        assert headers["X-Amz-Security-Token"] == "token"


async def test_an_expired_key_is_replaced_within_the_call(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """ExpiredTokenException costs one more call with a new key, no error and no new endpoint."""
    fake, url = service

    async def refuse_the_first(request: web.Request) -> web.StreamResponse:
        if request.headers["X-Amz-Security-Token"] != "token-2":
            headers = {"x-amzn-ErrorType": "ExpiredTokenException"}
            return web.json_response({"message": "expired"}, status=403, headers=headers)
        return await fake.bring(request)

    fake.media = refuse_the_first
    keys = Keys(key_of(1), key_of(2))
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, credentials=keys
    )
    async with client.get_media(ARN, {"StartSelectorType": "NOW"}, role_arn=ROLE) as media:
        assert b"".join([chunk async for chunk in media.chunks()]) == b"onetwo"
    assert [path for path, _, _ in fake.asked] == ["/getDataEndpoint", "/getMedia", "/getMedia"]
    assert set(keys.roles) == {ROLE}


async def test_a_key_that_stays_expired_is_unavailable_media(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """Somebody may renew it: that is no end of a session."""
    fake, url = service

    async def refuse(request: web.Request) -> web.Response:
        del request
        headers = {"x-amzn-ErrorType": "ExpiredTokenException"}
        return web.json_response({"message": "expired"}, status=403, headers=headers)

    fake.media = refuse
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, credentials=Keys(key_of(1))
    )
    with pytest.raises(MediaUnavailableError, match="ExpiredTokenException"):
        await read(client)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(hours=-3)], ids=str)
async def test_a_wrong_clock_is_corrected_by_the_services(
    service: tuple[FakeService, str], session: aiohttp.ClientSession, ahead: timedelta
) -> None:
    """A signature refused for its time alone is made again for the time the service has."""
    fake, url = service

    def now() -> datetime:
        return datetime.now(UTC) + ahead

    async def judge(request: web.Request) -> web.StreamResponse:
        signed = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        if abs(signed - now()) > timedelta(minutes=5):
            text = "Signature expired: 1 is now earlier than 2"
            if ahead < timedelta(0):
                text = "Signature not yet current: 2 is still later than 1"
            headers = {
                "x-amzn-ErrorType": "InvalidSignatureException",
                "Date": format_datetime(now(), usegmt=True),
            }
            return web.json_response({"message": text}, status=403, headers=headers)
        assert f"/{signed:%Y%m%d}/" in request.headers["Authorization"]
        return await fake.bring(request)

    fake.media = judge
    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url=url, credentials=Keys(key_of(1))
    )
    assert await read(client) == b"onetwo"
    assert await read(client) == b"onetwo"
    paths = [path for path, _, _ in fake.asked]
    assert paths == ["/getDataEndpoint", "/getMedia", "/getMedia", "/getMedia"]


@pytest.mark.parametrize(
    ("cause", "role", "error"),
    [
        (AwsUnavailableError("busy"), ROLE, MediaUnavailableError),
        (AwsDeniedError("AccessDenied"), ROLE, RoleDeniedError),
        (AwsRejectedError("not a role"), ROLE, RoleDeniedError),
        (AwsDeniedError("no such profile"), None, AccessDeniedError),
    ],
    ids=["sts away", "role denied", "no role", "no credentials"],
)
async def test_no_key_to_be_had(
    session: aiohttp.ClientSession, cause: AwsError, role: str | None, error: type[Exception]
) -> None:
    """What is only away is tried again; a role that may not be assumed is told from the stream."""

    async def find(
        role_arn: str | None, *, expired: ReadOnlyCredentials | None = None
    ) -> ReadOnlyCredentials:
        del role_arn, expired
        raise cause

    client = KinesisVideoClient(
        session=session, region="us-east-1", endpoint_url="http://127.0.0.1:1", credentials=find
    )
    with pytest.raises(error) as caught:
        async with client.get_media(ARN, {"StartSelectorType": "NOW"}, role_arn=role):
            pass
    assert type(caught.value) is error


async def test_the_embedded_endpoint_is_told_the_account(
    service: tuple[FakeService, str], session: aiohttp.ClientSession
) -> None:
    """In a signed header, with both calls; streams of one name in two accounts are two."""
    fake, url = service

    key = Keys(ReadOnlyCredentials("AKIATEST", "secret", None, None))

    client = KinesisVideoClient(
        session=session,
        region="us-east-1",
        endpoint_url=url,
        credentials=key,
        account_header="x-streamd-account",
    )
    for account_id in ("111111111111", "222222222222"):
        selector = {"StartSelectorType": "NOW"}
        async with client.get_media("cam", selector, account_id=account_id) as media:
            assert b"".join([chunk async for chunk in media.chunks()]) == b"onetwo"
    assert [(path, headers["x-streamd-account"]) for path, _, headers in fake.asked] == [
        ("/getDataEndpoint", "111111111111"),
        ("/getMedia", "111111111111"),
        ("/getDataEndpoint", "222222222222"),
        ("/getMedia", "222222222222"),
    ]
    for _, _, headers in fake.asked:
        assert "x-streamd-account" in headers["Authorization"].partition("SignedHeaders=")[2]
