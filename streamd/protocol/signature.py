"""Signature Version 4, from the server's side: whether what a request claims is true.

The canonical request is built from the client's own list of signed headers and the path as
it came, never through botocore's signer, which has its own view of the headers to sign and
would reject other clients ("Signing AWS API requests", *AWS IAM User Guide*).

Rules found with real producers and SDKs:

- ``host`` and every ``x-amz-*`` header must be signed, except two. The C producer sends
  ``x-amz-security-token`` unsigned. The Java producer library adds ``x-amz-content-sha256``
  after it has signed; its value is proved all the same, as the payload hash.
- The C and Java producers sign the host without its port: on a mismatch the signature is
  tried once more with the port removed.
- PutMedia's body is endless, so it is not hashed: C producers sign the hash of an empty
  body, Java producers a marker in ``x-amz-content-sha256``. Nobody else may.

A signature must be made for the daemon's own region (``aws.region``), as AWS's endpoints accept
theirs alone: ARNs, which clients keep, are of that region too. It is valid for five minutes
around its time, a presigned one for as long as it says and a week at most.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import timedelta
from urllib.parse import quote

from botocore.utils import normalize_url_path

from streamd.clock import Clock
from streamd.protocol.claim import (
    ALGORITHM,
    ISO_BASIC,
    Claim,
    RequestHead,
    lifetime_of,
    parse_timestamp,
    read_claim,
)
from streamd.protocol.errors import ServiceError
from streamd.protocol.identity import AccessKey, KeyRing

__all__ = [
    "EMPTY_SHA256",
    "UnknownKeyError",
    "Verifier",
    "streamed_payload",
]

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_STREAMED_PAYLOADS = frozenset(
    {EMPTY_SHA256, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
)
"""What PutMedia producers sign in place of their body's hash."""
_MAX_SKEW = timedelta(minutes=5)
_UNSIGNED_ALLOWED = frozenset({"x-amz-content-sha256", "x-amz-security-token"})
_PORT = re.compile(r":\d+$")
_SPACES = re.compile(r" +")


class UnknownKeyError(ServiceError):
    """Nobody has this access key."""

    def __init__(self, access_key_id: str) -> None:
        super().__init__(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
        self.access_key_id = access_key_id


class Verifier:
    """Checks signatures against a set of access keys.

    Args:
        keys: Those that are valid; asked at every request, so that they may change.
        region: The region signatures must be made for.
        clock: Tells how old a signature is.

    """

    def __init__(self, keys: KeyRing, *, region: str, clock: Clock) -> None:
        self._keys = keys
        self._region = region
        self._clock = clock
        self._signing_keys: dict[tuple[str, str, str, str], bytes] = {}

    def claim(self, head: RequestHead, *, service: str) -> Claim:
        """Check everything that needs no body: who, when, for what, and which headers.

        Raises:
            ServiceError: With the code AWS's front ends use.

        """
        claim = read_claim(head)
        if self._keys.find(claim.access_key_id) is None:
            raise UnknownKeyError(claim.access_key_id)
        self._check_time(head, claim)
        self._check_scope(claim, service)
        _check_signed_headers(head, claim)
        return claim

    def prove(self, head: RequestHead, claim: Claim, *, payload_hash: str) -> AccessKey:
        """Check the signature itself; returns the key it was made with.

        Args:
            head: The request.
            claim: What :meth:`claim` returned for it.
            payload_hash: SHA-256 of the body in hex, or what :func:`streamed_payload` said.

        Raises:
            ServiceError: ``InvalidSignatureException``, or ``UnrecognizedClientException`` if
                the key was taken away meanwhile.

        """
        key = self._keys.find(claim.access_key_id)
        if key is None:
            raise UnknownKeyError(claim.access_key_id)
        stated = head.header("x-amz-content-sha256")
        if stated is not None and stated != payload_hash:
            raise _mismatch()
        host = (head.header("host") or "").strip()
        tries = [None, _PORT.sub("", host)] if _PORT.search(host) else [None]
        given = claim.signature.encode("utf-8", "surrogateescape")
        for host_without_port in tries:
            expected = self._signature(key, head, claim, payload_hash, host_without_port)
            # Bytes: compare_digest refuses text that is not ASCII.
            if hmac.compare_digest(expected.encode(), given):
                return key
        raise _mismatch()

    def _check_time(self, head: RequestHead, claim: Claim) -> None:
        signed_at = parse_timestamp(claim.timestamp)
        if claim.scope[0] != claim.timestamp[:8]:
            raise _invalid(
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
                f"date from HTTP: '{claim.scope[0]}' != '{claim.timestamp[:8]}'."
            )
        now = self._clock.now()
        shown = now.strftime(ISO_BASIC)
        lifetime = lifetime_of(head) if claim.in_query else _MAX_SKEW
        if signed_at + lifetime < now:
            limit = (now - lifetime).strftime(ISO_BASIC)
            raise _invalid(
                f"Signature expired: {claim.timestamp} is now earlier than {limit} "
                f"({shown} - {int(lifetime.total_seconds()) // 60} min.)"
            )
        if signed_at > now + _MAX_SKEW:
            limit = (now + _MAX_SKEW).strftime(ISO_BASIC)
            raise _invalid(
                f"Signature not yet current: {claim.timestamp} is still later than {limit} "
                f"({shown} + 5 min.)"
            )

    def _check_scope(self, claim: Claim, service: str) -> None:
        _date, region, signed_service = claim.scope
        if region != self._region:
            raise _invalid(
                f"Credential should be scoped to a valid region, not '{region}': "
                f"this endpoint serves '{self._region}'."
            )
        if signed_service != service:
            raise _invalid(f"Credential should be scoped to correct service: '{service}'.")

    def _signature(
        self,
        key: AccessKey,
        head: RequestHead,
        claim: Claim,
        payload_hash: str,
        host: str | None,
    ) -> str:
        canonical = _canonical_request(head, claim, payload_hash, host)
        text = "\n".join(
            (
                ALGORITHM,
                claim.timestamp,
                "/".join((*claim.scope, "aws4_request")),
                hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest(),
            )
        )
        return hmac.new(self._signing_key(key, claim), text.encode(), hashlib.sha256).hexdigest()

    def _signing_key(self, key: AccessKey, claim: Claim) -> bytes:
        # Bounded: only known keys, this region, two services and today's dates come here.
        # By the secret, not the key id: the secret of a key id may change.
        identity = (key.secret, *claim.scope)
        signing_key = self._signing_keys.get(identity)
        if signing_key is None:
            if len(self._signing_keys) > 4 * len(self._keys):
                self._signing_keys.clear()
            signing_key = b"AWS4" + key.secret.encode()
            for part in (*claim.scope, "aws4_request"):
                signing_key = hmac.new(signing_key, part.encode(), hashlib.sha256).digest()
            self._signing_keys[identity] = signing_key
        return signing_key


def streamed_payload(head: RequestHead) -> str:
    """Return the payload hash a PutMedia producer signed without hashing its body.

    Raises:
        ServiceError: ``InvalidSignatureException`` if it claims the hash of a real body.

    """
    stated = head.header("x-amz-content-sha256")
    if stated is None:
        return EMPTY_SHA256
    if stated not in _STREAMED_PAYLOADS:
        raise _mismatch()
    return stated


def _check_signed_headers(head: RequestHead, claim: Claim) -> None:
    signed = set(claim.signed_headers)
    if "host" not in signed:
        raise _invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    for name in head.by_name:
        if name.startswith("x-amz-") and name not in signed | _UNSIGNED_ALLOWED:
            raise _invalid(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _canonical_request(head: RequestHead, claim: Claim, payload_hash: str, host: str | None) -> str:
    # Services other than S3 encode the path a second time.
    path = _quoted(normalize_url_path(head.path), safe="/~")
    pairs = sorted(
        (_quoted(name, safe="-_.~"), _quoted(value, safe="-_.~"))
        for name, value in head.query
        if not (claim.in_query and name == "X-Amz-Signature")
    )
    names = sorted(claim.signed_headers)
    lines = []
    for name in names:
        values = head.by_name.get(name, [""])
        if name == "host" and host is not None:
            values = [host]
        lines.append(f"{name}:{','.join(_trimmed(value) for value in values)}")
    return "\n".join(
        (
            head.method,
            path,
            "&".join(f"{name}={value}" for name, value in pairs),
            *lines,
            "",
            ";".join(names),
            payload_hash,
        )
    )


def _quoted(text: str, *, safe: str) -> str:
    # Bytes that are no text stand in it as surrogates; they are quoted like any others.
    return quote(text, safe=safe, errors="surrogateescape")


def _trimmed(value: str) -> str:
    return _SPACES.sub(" ", value.strip())


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidSignatureException", message)


def _mismatch() -> ServiceError:
    return _invalid(
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. "
        "Consult the service documentation for details."
    )
