"""One call on its way in: let pass or refused, and noted."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from streamd import audit
from streamd.access import Access, identity_of
from streamd.config import AwsSettings
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import Identity, Permissions
from streamd.protocol.sigv4 import IDENTITY

AWS = AwsSettings(region="eu-west-1", account_id="111122223333")
ARN = "arn:aws:rekognition:eu-west-1:444455556666:collection/family"


def access(action: str, identity: Identity | None) -> Access:
    request = make_mocked_request("POST", "/")
    if identity is not None:
        request[IDENTITY] = identity
    return Access(f"rekognition:{action}", request, aws=AWS, request_id="r-1")


def caller(*actions: str, resources: tuple[str, ...] = ("*",), internal: bool = False) -> Identity:
    return Identity(
        account_id="444455556666",
        access_key_id="AKIDONE",
        permissions=Permissions(actions=actions, resources=resources),
        is_internal=internal,
    )


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The audit lines that would be written."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(audit, "record", lambda **fields: lines.append(fields))
    return lines


def test_unsigned_calls_are_the_daemons_own_account() -> None:
    """Where nobody signs, there is one account and everything is allowed."""
    assert identity_of(make_mocked_request("POST", "/"), AWS).account_id == "111122223333"
    access("DeleteCollection", None).authorize({"CollectionId": "family"}, refusal="Denied")


def test_a_caller_without_the_right_is_refused_in_awss_words() -> None:
    """Who, what and to which ARN, in the caller's account and the daemon's region."""
    call = access("DeleteCollection", caller("rekognition:List*"))
    with pytest.raises(ServiceError) as caught:
        call.authorize({"CollectionId": "family"}, refusal="AccessDeniedException")
    assert caught.value.code == "AccessDeniedException"
    assert str(caught.value.message) == (
        "User: arn:aws:iam::444455556666:user/AKIDONE is not authorized to perform: "
        f"rekognition:DeleteCollection on resource: {ARN}"
    )


def test_rights_are_to_resources() -> None:
    """A key for one collection may not touch another one."""
    one = caller("*", resources=(ARN,))
    access("DeleteCollection", one).authorize({"CollectionId": "family"}, refusal="Denied")
    with pytest.raises(ServiceError, match="collection/others"):
        access("DeleteCollection", one).authorize({"CollectionId": "others"}, refusal="Denied")


def test_changes_leave_a_line(noted: list[dict[str, object]]) -> None:
    """It has the resources the call named, refused or not."""
    call = access("DeleteCollection", caller("rekognition:List*"))
    with pytest.raises(ServiceError):
        call.authorize({"CollectionId": "family"}, refusal="AccessDeniedException")
    call.note("AccessDeniedException")
    [line] = noted
    assert line["operation"] == "rekognition:DeleteCollection"
    assert (line["result"], line["resources"]) == ("AccessDeniedException", [ARN])
    assert line["request_id"] == "r-1"


def test_lists_and_workers_leave_none(noted: list[dict[str, object]]) -> None:
    """What changes nothing, and what stream processors do, is no audit line."""
    access("ListCollections", caller("*")).note("OK")
    access("DeleteCollection", caller("*", internal=True)).note("OK")
    assert noted == []
