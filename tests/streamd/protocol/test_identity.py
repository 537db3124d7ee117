"""Allow lists, and keys that change while they are used."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.protocol.identity import EVERYTHING, AccessKey, Identity, KeyRing, Permissions

DOOR = "arn:aws:kinesisvideo:us-east-1:111111111111:stream/door/1"


@pytest.mark.parametrize(
    ("actions", "action", "allowed"),
    [
        (["*"], "rekognition:IndexFaces", True),
        (["rekognition:*"], "rekognition:IndexFaces", True),
        (["rekognition:*"], "kinesisvideo:PutMedia", False),
        (["kinesisvideo:PutMedia"], "kinesisvideo:PutMedia", True),
        (["kinesisvideo:putmedia"], "kinesisvideo:PutMedia", True),
        (["kinesisvideo:Put"], "kinesisvideo:PutMedia", False),
        (["rekognition:Describe*", "rekognition:List?aces"], "rekognition:ListFaces", True),
        (["rekognition:List?aces"], "rekognition:ListLFaces", False),
        ([], "rekognition:ListFaces", False),
    ],
)
def test_actions_match_as_in_policies(actions: list[str], action: str, allowed: bool) -> None:
    """Stars and question marks stand for anything, case does not count, the rest is denied."""
    permissions = Permissions(actions=actions)
    assert permissions.denied(action, [DOOR]) == (None if allowed else DOOR)


@pytest.mark.parametrize(
    ("resources", "named", "denied"),
    [
        (["*"], [DOOR, "*"], None),
        (["arn:aws:kinesisvideo:*:*:stream/door/*"], [DOOR], None),
        (["arn:aws:kinesisvideo:*:*:stream/door/*"], ["*"], "*"),
        (["arn:aws:kinesisvideo:*:*:stream/Door/*"], [DOOR], DOOR),
        (["arn:aws:kinesisvideo:*:*:stream/door"], [DOOR], DOOR),
        (["arn:a", "arn:b"], ["arn:a", "arn:b"], None),
        (["arn:a"], ["arn:a", "arn:b"], "arn:b"),
        (["arn:a.b"], ["arn:aXb"], "arn:aXb"),
    ],
)
def test_every_named_resource_must_match(
    resources: list[str], named: list[str], denied: str | None
) -> None:
    """The first that no pattern matches is told; lists need the resource *."""
    assert Permissions(resources=resources).denied("a:B", named) == denied


@given(st.text(alphabet="ab*?:.[(\n", max_size=12), st.text(alphabet="ab:.[(\n", max_size=12))
def test_patterns_match_as_two_characters_say(pattern: str, text: str) -> None:
    """Nothing but * and ? has a meaning."""
    expected = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    allowed = bool(re.fullmatch(expected, text, re.DOTALL))
    assert (Permissions(resources=[pattern]).denied("a:B", [text]) is None) == allowed


def test_a_ring_replaces_all_its_keys_at_once() -> None:
    """Keys that are not in the new set are gone, others stay."""
    ring = KeyRing.of({"AKIDONE": "1", "AKIDTWO": "2"})
    ring.replace(KeyRing.of({"AKIDTWO": "22"}))
    assert ring.find("AKIDONE") is None
    found = ring.find("AKIDTWO")
    assert found is not None
    assert found.secret == "22"


def test_secrets_are_in_no_representation() -> None:
    """Whatever is logged by mistake does not hold a secret."""
    key = AccessKey(access_key_id="AKIDONE", secret="hush", account_id="111111111111")
    assert "hush" not in f"{key!r} {KeyRing([key])!r}"


def test_a_caller_has_an_arn() -> None:
    """A key is the user of its account; where nobody signs, it is the account."""
    assert Identity(account_id="1" * 12, access_key_id="AKID").arn == (
        "arn:aws:iam::111111111111:user/AKID"
    )
    assert Identity(account_id="1" * 12).arn == "arn:aws:iam::111111111111:root"
    assert Identity(account_id="1" * 12).permissions is EVERYTHING
