"""Heads of requests and the signatures they claim: proved, or refused; never anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from unittest import mock

import botocore.auth
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from streamd.protocol.claim import RequestHead
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import KeyRing
from streamd.protocol.signature import Verifier, streamed_payload
from tests.fuzz.target import holds
from tests.support.clock import ManualClock

KEY_ID, SECRET = "AKIDEXAMPLE", "secret"
NOW = 1_700_000_000.0
VERIFIER = Verifier(KeyRing.of({KEY_ID: SECRET}), region="us-east-1", clock=ManualClock(NOW))
CODES = {
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
HASH = hashlib.sha256(b"").hexdigest()


def head_of(data: bytes) -> RequestHead:
    """Read a head as the HTTP server hands it over: undecodable bytes become surrogates."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    method, _, target = lines[0].partition(" ")
    pairs = (line.partition(":") for line in lines[1:])
    headers = [(name, value.strip()) for name, colon, value in pairs if colon]
    return RequestHead(method=method, target=target, headers=headers)


def run(data: bytes) -> None:
    """A request line and headers, a line each."""
    head = head_of(data)
    try:
        payload_hash = streamed_payload(head)
    except ServiceError as error:
        holds(error.code in CODES, error)
        payload_hash = HASH
    for service in ("rekognition", "kinesisvideo"):
        try:
            claim = VERIFIER.claim(head, service=service)
            VERIFIER.prove(head, claim, payload_hash=payload_hash)
        except ServiceError as error:
            holds(error.code in CODES, error)
            error.message.encode("utf-8", "surrogateescape")


def seeds() -> Iterator[bytes]:
    """Yield requests signed by botocore, in headers and in the query."""
    moment = datetime.fromtimestamp(NOW, UTC)
    for signer in (SigV4Auth, SigV4QueryAuth):
        for service, target in (
            ("rekognition", "/"),
            ("kinesisvideo", "/putMedia"),
            ("kinesisvideo", "/a%20b//../c?x=1&y=%E2%82%AC&x="),
        ):
            request = AWSRequest(
                method="POST",
                url=f"http://localhost:8700{target}",
                headers={"X-Amz-Target": "RekognitionService.X", "x-amzn-stream-name": "a  b"},
            )
            with mock.patch.object(
                botocore.auth, "get_current_datetime", return_value=moment.replace(tzinfo=None)
            ):
                signer(Credentials(KEY_ID, SECRET, None), service, "us-east-1").add_auth(request)
            path = request.prepare().url.removeprefix("http://localhost:8700")
            headers = {"Host": "localhost:8700", **dict(request.headers.items())}
            lines = [f"POST {path}", *(f"{name}: {value}" for name, value in headers.items())]
            yield "\n".join(lines).encode()
