"""What requests say of their signatures, read as AWS's front ends do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamd.protocol.claim import Claim, RequestHead, lifetime_of, parse_timestamp, read_claim
from streamd.protocol.errors import ServiceError

SCOPE = "20260131/us-east-1/rekognition/aws4_request"
AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential=AKID/{SCOPE}, SignedHeaders=Host;x-amz-date, Signature=ab"
)
STAMP = "20260131T120000Z"
QUERY = (
    f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F{SCOPE.replace('/', '%2F')}"
    f"&X-Amz-Date={STAMP}&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=ab"
)


def head(*headers: tuple[str, str], target: str = "/") -> RequestHead:
    return RequestHead(method="POST", target=target, headers=headers)


def test_a_claim_in_a_header_is_read() -> None:
    """Names of headers are compared in lower case; spaces after commas are the client's taste."""
    claim = read_claim(head(("Authorization", AUTHORIZATION), ("X-Amz-Date", f" {STAMP} ")))
    assert claim == Claim(
        access_key_id="AKID",
        scope=("20260131", "us-east-1", "rekognition"),
        signed_headers=("host", "x-amz-date"),
        signature="ab",
        timestamp=STAMP,
        in_query=False,
    )


def test_a_claim_in_a_query_is_read() -> None:
    """A presigned request has all of it in its query, percent-encoded."""
    presigned = head(target=f"/?{QUERY}")
    claim = read_claim(presigned)
    assert (claim.access_key_id, claim.timestamp, claim.in_query) == ("AKID", STAMP, True)
    assert lifetime_of(presigned) == timedelta(seconds=60)


def test_a_key_id_may_hold_slashes() -> None:
    """The scope is counted from the right."""
    authorization = AUTHORIZATION.replace("AKID/", "my/own/key/")
    claim = read_claim(head(("Authorization", authorization), ("X-Amz-Date", STAMP)))
    assert claim.access_key_id == "my/own/key"
    assert claim.scope == ("20260131", "us-east-1", "rekognition")


def test_a_date_header_is_brought_to_one_form() -> None:
    """HTTP's date stands in for X-Amz-Date, in any time zone."""
    date = ("Date", "Sat, 31 Jan 2026 13:00:00 +0100")
    assert read_claim(head(("Authorization", AUTHORIZATION), date)).timestamp == STAMP


@pytest.mark.parametrize(
    ("request_head", "code"),
    [
        (head(), "MissingAuthenticationToken"),
        (head(("Authorization", AUTHORIZATION)), "IncompleteSignature"),
        (head(("Authorization", AUTHORIZATION), target=f"/?{QUERY}"), "IncompleteSignature"),
        (
            head(("Authorization", AUTHORIZATION.replace("Signature=ab", "Signature="))),
            "IncompleteSignature",
        ),
        (
            head(("Authorization", AUTHORIZATION.replace("/us-east-1", ""))),
            "IncompleteSignature",
        ),
        (head(("Authorization", "AWS4-HMAC-SHA256 " + "x" * 9000)), "IncompleteSignature"),
        (head(target=f"/?{QUERY}&X-Amz-Date={STAMP}"), "IncompleteSignature"),
        (head(target=f"/?{QUERY.replace('X-Amz-Expires=60&', '')}"), "IncompleteSignature"),
    ],
    ids=["nothing", "no date", "twice", "empty", "short", "endless", "repeated", "no expiry"],
)
def test_what_is_no_whole_claim_is_refused(request_head: RequestHead, code: str) -> None:
    """The code says whether anything was claimed at all."""
    with pytest.raises(ServiceError) as caught:
        read_claim(request_head)
    assert caught.value.code == f"{code}Exception"


def test_a_timestamp_has_one_form() -> None:
    """ISO 8601 basic, in UTC; what is quoted of another is short."""
    assert parse_timestamp(STAMP) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    with pytest.raises(ServiceError, match=r"Got 'x{64}'"):
        parse_timestamp("x" * 9000)


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "1.5", "²", "9" * 5000])
def test_a_presigned_request_lives_a_week_at_most(expires: str) -> None:
    """X-Amz-Expires is 1 to 604800 in ASCII digits."""
    given = head(target=f"/?{QUERY.replace('Expires=60', f'Expires={expires}')}")
    with pytest.raises(ServiceError, match="between 1 and 604800"):
        lifetime_of(given)


def test_headers_are_found_by_lower_case_name() -> None:
    """A repeated header keeps its values in order; the first one counts."""
    given = head(("Host", "a"), ("HOST", "b"), target="/p%20q?x=1")
    assert (given.by_name["host"], given.header("host"), given.header("date")) == (
        ["a", "b"],
        "a",
        None,
    )
    assert (given.path, given.query) == ("/p%20q", [("x", "1")])
