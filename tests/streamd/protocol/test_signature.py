"""Facts about signatures: botocore's are accepted, and none that was tampered with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from streamd.protocol.claim import RequestHead
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import KeyRing
from streamd.protocol.signature import EMPTY_SHA256, Verifier, streamed_payload

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
HOST = "localhost:8700"
BODY = b'{"Name":"a"}'
MISMATCH = "does not match the signature you provided"


class StoppedClock:
    """A clock tests move."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def epoch(self) -> float:
        return self.moment.timestamp()

    def monotonic(self) -> float:
        return 0.0


def verifier(*, seconds_later: float = 0) -> Verifier:
    clock = StoppedClock(datetime.now(UTC) + timedelta(seconds=seconds_later))
    return Verifier(KeyRing.of({KEY_ID: SECRET, "AKIDOTHER": "other"}), region=REGION, clock=clock)


def signed(
    *,
    method: str = "POST",
    target: str = "/",
    body: bytes = BODY,
    headers: dict[str, str] | None = None,
    region: str = REGION,
    service: str = "rekognition",
    token: str | None = None,
    secret: str = SECRET,
    key_id: str = KEY_ID,
    signer: type[SigV4Auth] = SigV4Auth,
) -> RequestHead:
    """A request as botocore signs it."""
    request = AWSRequest(
        method=method, url=f"http://{HOST}{target}", data=body, headers=headers or {}
    )
    signer(Credentials(key_id, secret, token), service, region).add_auth(request)
    prepared = request.prepare()
    on_wire = [(name, str(value)) for name, value in request.headers.items()]
    if not any(name.lower() == "host" for name, _value in on_wire):
        on_wire.append(("Host", HOST))
    return RequestHead(
        method=method, target=prepared.url.removeprefix(f"http://{HOST}"), headers=on_wire
    )


def verify(
    head: RequestHead,
    *,
    body: bytes = BODY,
    service: str = "rekognition",
    by: Verifier | None = None,
) -> None:
    by = by or verifier()
    claim = by.claim(head, service=service)
    by.prove(head, claim, payload_hash=hashlib.sha256(body).hexdigest())


def with_header(head: RequestHead, name: str, value: str | None) -> RequestHead:
    """The request with a header replaced, added or (None) removed."""
    kept = [(n, v) for n, v in head.headers if n.lower() != name.lower()]
    return RequestHead(
        method=head.method,
        target=head.target,
        headers=kept if value is None else [*kept, (name, value)],
    )


@pytest.mark.parametrize(
    "target",
    ["/", "/createStream", "/a%20b/c", "/x?b=2&a=1", "/x?a=%2F%20&empty=&a=", "/x?k=%C3%A4"],
)
def test_botocore_signatures_are_accepted(target: str) -> None:
    """Paths and queries of any form, as botocore signs them, are proved."""
    verify(signed(target=target, headers={"X-Amz-Target": "T.X", "Content-Type": "a/b"}))


def test_session_tokens_are_accepted() -> None:
    """A signed X-Amz-Security-Token is part of the signature."""
    head = signed(token="session-token")
    verify(head)
    with pytest.raises(ServiceError, match=MISMATCH):
        verify(with_header(head, "X-Amz-Security-Token", "another"))


def test_an_unsigned_session_token_is_accepted() -> None:
    """The C producer sends its session token unsigned."""
    verify(with_header(signed(), "x-amz-security-token", "whatever"))


def test_queries_are_accepted() -> None:
    """A presigned request is proved, within its time."""
    head = signed(method="GET", body=b"", signer=SigV4QueryAuth)
    verify(head, body=b"")
    verify(head, body=b"", by=verifier(seconds_later=3500))
    with pytest.raises(ServiceError, match="Signature expired"):
        verify(head, body=b"", by=verifier(seconds_later=3700))


def test_a_host_signed_without_its_port_is_accepted() -> None:
    """Producers that sign the host alone are proved."""
    head = by_hand(host="localhost")
    verify(with_header(head, "Host", HOST))


def test_any_header_a_client_signs_counts() -> None:
    """Headers botocore would leave out, such as user-agent, are verified when signed."""
    head = by_hand(extra={"user-agent": "producer  1.0", "expect": "100-continue"})
    verify(head)
    with pytest.raises(ServiceError, match=MISMATCH):
        verify(with_header(head, "user-agent", "someone else"))


def test_the_date_header_may_stand_in() -> None:
    """A request without X-Amz-Date is dated by its Date header."""
    head = by_hand(date_header=True)
    verify(head)


def test_the_body_hash_header_must_be_the_bodys() -> None:
    """UNSIGNED-PAYLOAD, or any other hash than the body's, is refused."""
    verify(by_hand(extra={"x-amz-content-sha256": hashlib.sha256(BODY).hexdigest()}))
    with pytest.raises(ServiceError, match=MISMATCH):
        verify(
            by_hand(payload="UNSIGNED-PAYLOAD", extra={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
        )


@pytest.mark.parametrize(
    "marker", [None, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA256]
)
def test_put_media_is_proved_without_its_body(marker: str | None) -> None:
    """Producers sign an empty body's hash or a marker in place of their endless body."""
    extra = {"x-amz-content-sha256": marker} if marker else {}
    head = by_hand(
        target="/putMedia", service="kinesisvideo", payload=marker or EMPTY_SHA256, extra=extra
    )
    by = verifier()
    by.prove(head, by.claim(head, service="kinesisvideo"), payload_hash=streamed_payload(head))


def test_an_unsigned_payload_header_is_proved_as_the_payload() -> None:
    """The Java producer library signs UNSIGNED-PAYLOAD, but not the header that says so."""
    head = by_hand(target="/putMedia", service="kinesisvideo", payload="UNSIGNED-PAYLOAD")
    told = with_header(head, "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    by = verifier()
    by.prove(told, by.claim(told, service="kinesisvideo"), payload_hash=streamed_payload(told))
    changed = with_header(head, "x-amz-content-sha256", EMPTY_SHA256)
    with pytest.raises(ServiceError, match=MISMATCH):
        by.prove(
            changed,
            by.claim(changed, service="kinesisvideo"),
            payload_hash=streamed_payload(changed),
        )


def test_put_media_may_not_claim_a_body() -> None:
    """The hash of a real body, which nobody reads, is refused."""
    head = by_hand(target="/putMedia", extra={"x-amz-content-sha256": "a" * 64}, payload="a" * 64)
    with pytest.raises(ServiceError, match=MISMATCH):
        streamed_payload(head)


def _replace_authorization(old: str, new: str) -> Callable[[RequestHead], RequestHead]:
    def change(head: RequestHead) -> RequestHead:
        value = head.header("authorization") or ""
        assert old in value
        return with_header(head, "Authorization", value.replace(old, new))

    return change


_DAY = datetime.now(UTC).strftime("%Y%m%d")
_SCOPE = f"{KEY_ID}/{_DAY}/{REGION}/rekognition/aws4_request"

BAD_REQUESTS: dict[str, tuple[Callable[[RequestHead], RequestHead], str]] = {
    "path": (lambda h: replace(h, target="/other"), "InvalidSignature"),
    "query": (lambda h: replace(h, target="/?a=1"), "InvalidSignature"),
    "method": (lambda h: replace(h, method="GET"), "InvalidSignature"),
    "signed header": (lambda h: with_header(h, "X-Amz-Target", "T.Y"), "InvalidSignature"),
    "removed header": (lambda h: with_header(h, "X-Amz-Target", None), "InvalidSignature"),
    "second host": (
        lambda h: replace(h, headers=[*h.headers, ("Host", "evil")]),
        "InvalidSignature",
    ),
    "unsigned x-amz": (lambda h: with_header(h, "x-amz-extra", "1"), "InvalidSignature"),
    "unsigned host": (_replace_authorization("content-type;host;", "content-type;"), "InvalidSignature"),
    "no signature": (lambda h: with_header(h, "Authorization", None), "MissingAuthenticationToken"),
    "two signatures": (
        lambda h: replace(h, headers=[*h.headers, ("Authorization", "x")]),
        "IncompleteSignature",
    ),
    "unknown key": (_replace_authorization(KEY_ID, "AKIDUNKNOWN"), "UnrecognizedClient"),
    "another's key": (_replace_authorization(KEY_ID, "AKIDOTHER"), "InvalidSignature"),
    "region": (_replace_authorization(REGION, "eu-west-1"), "InvalidSignature"),
    "service": (_replace_authorization("/rekognition/", "/kinesisvideo/"), "InvalidSignature"),
    "date": (_replace_authorization(_DAY, "20150830"), "InvalidSignature"),
    "term": (_replace_authorization("aws4_request", "aws5_request"), "IncompleteSignature"),
    "short scope": (_replace_authorization(_SCOPE, f"{KEY_ID}/{_DAY}"), "IncompleteSignature"),
    "algorithm": (
        _replace_authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        "IncompleteSignature",
    ),
    "garbage": (lambda h: with_header(h, "Authorization", "Bearer abc"), "IncompleteSignature"),
    "empty": (lambda h: with_header(h, "Authorization", ""), "IncompleteSignature"),
    "no parts": (
        lambda h: with_header(h, "Authorization", "AWS4-HMAC-SHA256 ,,=,"),
        "IncompleteSignature",
    ),
    "no date": (lambda h: with_header(h, "X-Amz-Date", None), "IncompleteSignature"),
    "malformed date": (lambda h: with_header(h, "X-Amz-Date", "today"), "IncompleteSignature"),
    "signature not ascii": (
        _replace_authorization("Signature=", "Signature=ä"),
        "InvalidSignature",
    ),
    "signature cut": (lambda h: with_header(h, "Authorization", (h.header("authorization") or "")[:-1]),
                      "InvalidSignature"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_requests(name: str) -> None:
    """Whatever is changed after signing, the request is refused with the right code."""
    change, code = BAD_REQUESTS[name]
    head = signed(headers={"X-Amz-Target": "T.X", "Content-Type": "a/b"})
    verify(head)
    with pytest.raises(ServiceError) as caught:
        verify(change(head))
    assert caught.value.code == f"{code}Exception"


def test_a_changed_body() -> None:
    """A body other than the signed one is refused."""
    with pytest.raises(ServiceError, match=MISMATCH):
        verify(signed(), body=BODY + b" ")


def test_a_wrong_secret() -> None:
    """A signature with another secret is refused."""
    with pytest.raises(ServiceError, match=MISMATCH):
        verify(signed(secret="guess"))


@pytest.mark.parametrize(
    ("seconds_later", "text"), [(302, "Signature expired"), (-302, "Signature not yet current")]
)
def test_clock_skew(seconds_later: float, text: str) -> None:
    """Five minutes off is too much, either way; a little less is fine."""
    head = signed()
    verify(head, by=verifier(seconds_later=seconds_later / 302 * 298))
    with pytest.raises(ServiceError, match=text) as caught:
        verify(head, by=verifier(seconds_later=seconds_later))
    assert caught.value.code == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("X-Amz-Signature=", "X-Amz-Signature=0", "InvalidSignature"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=604800", "InvalidSignature"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=604801", "IncompleteSignature"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=-1", "IncompleteSignature"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=", "IncompleteSignature"),
        ("X-Amz-Algorithm=AWS4", "X-Amz-Algorithm=AWS5", "IncompleteSignature"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=", "IncompleteSignature"),
        ("X-Amz-SignedHeaders=", "X-Amz-Date=1&X-Amz-SignedHeaders=", "IncompleteSignature"),
    ],
    ids=range(8),
)
def test_bad_queries(old: str, new: str, code: str) -> None:
    """A presigned query that was changed is refused."""
    head = signed(method="GET", body=b"", signer=SigV4QueryAuth)
    assert old in head.target
    with pytest.raises(ServiceError) as caught:
        verify(replace(head, target=head.target.replace(old, new)), body=b"")
    assert caught.value.code == f"{code}Exception"


def by_hand(
    *,
    target: str = "/",
    host: str = HOST,
    service: str = "rekognition",
    extra: dict[str, str] | None = None,
    payload: str | None = None,
    date_header: bool = False,
) -> RequestHead:
    """A request signed by the book, as clients other than botocore do."""
    now = datetime.now(UTC).replace(microsecond=0)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    dated = (
        {"date": now.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if date_header
        else {"x-amz-date": stamp}
    )
    headers = {"host": host, **dated, **(extra or {})}
    names = ";".join(sorted(headers))
    lines = "".join(f"{n}:{' '.join(headers[n].split())}\n" for n in sorted(headers))
    body_hash = payload or hashlib.sha256(BODY).hexdigest()
    canonical = f"POST\n{quote(target)}\n\n{lines}\n{names}\n{body_hash}"
    scope = f"{stamp[:8]}/{REGION}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return RequestHead(
        method="POST",
        target=target,
        headers=[*headers.items(), ("Authorization", authorization)],
    )
