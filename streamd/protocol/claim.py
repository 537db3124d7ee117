"""What a request says of its signature, in its headers or its query. Pure.

Both forms and their error texts are AWS's ("Signing AWS API requests", *AWS IAM User Guide*).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote

from streamd.protocol.errors import ServiceError

__all__ = [
    "ALGORITHM",
    "ISO_BASIC",
    "Claim",
    "RequestHead",
    "lifetime_of",
    "parse_timestamp",
    "read_claim",
]

ALGORITHM: Final = "AWS4-HMAC-SHA256"
ISO_BASIC: Final = "%Y%m%dT%H%M%SZ"
_MAX_EXPIRES_SECONDS: Final = 7 * 24 * 3600
_MAX_AUTHORIZATION_CHARACTERS: Final = 8192


@dataclass(frozen=True, kw_only=True)
class RequestHead:
    """A request without its body, as it came over the wire."""

    method: str
    target: str
    """Path and query exactly as sent, still percent-encoded."""
    headers: Sequence[tuple[str, str]]

    @functools.cached_property
    def by_name(self) -> Mapping[str, list[str]]:
        """Values by lower-case name, in order."""
        found: dict[str, list[str]] = {}
        for name, value in self.headers:
            found.setdefault(name.lower(), []).append(value)
        return found

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return self.target.partition("?")[0]

    @functools.cached_property
    def query(self) -> list[tuple[str, str]]:
        """The query's pairs, decoded, in order."""
        pairs = (part.partition("=") for part in self.target.partition("?")[2].split("&") if part)
        return [(unquote(name), unquote(value)) for name, _equals, value in pairs]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, by its lower-case name."""
        values = self.by_name.get(name)
        return values[0] if values else None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a request says of its signature; to be proved by a ``Verifier``."""

    access_key_id: str
    scope: tuple[str, str, str]
    """Date, region, service."""
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    in_query: bool


def read_claim(head: RequestHead) -> Claim:
    """Return what the request claims; whether it is true is another question.

    Raises:
        ServiceError: ``MissingAuthenticationTokenException`` if it claims nothing,
            ``IncompleteSignatureException`` if a part is missing or malformed.

    """
    authorizations = head.by_name.get("authorization", [])
    signed_query = any(name == "X-Amz-Algorithm" for name, _value in head.query)
    if not authorizations and not signed_query:
        raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")
    if len(authorizations) + signed_query > 1:
        raise _incomplete("The request carries more than one signature.")
    if signed_query:
        return _claim_of_query(head)
    return _claim_of_header(head, authorizations[0])


def _claim_of_header(head: RequestHead, authorization: str) -> Claim:
    algorithm, _space, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM or len(authorization) > _MAX_AUTHORIZATION_CHARACTERS:
        raise _incomplete(f"Authorization header requires the algorithm '{ALGORITHM}'.")
    pairs = (part.strip().partition("=") for part in rest.split(","))
    parts = {name: value for name, _equals, value in pairs}
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    return _claim(
        credential=parts["Credential"],
        signed_headers=parts["SignedHeaders"],
        signature=parts["Signature"],
        timestamp=_header_timestamp(head),
        in_query=False,
    )


def _claim_of_query(head: RequestHead) -> Claim:
    parts = dict(head.query)
    if len(parts) != len(head.query):
        raise _incomplete("The query repeats a parameter.")
    if parts["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete(f"AWS query-string parameters must use '{ALGORITHM}'.")
    for name in ("Credential", "SignedHeaders", "Signature", "Date", "Expires"):
        if not parts.get(f"X-Amz-{name}"):
            raise _incomplete(f"AWS query-string parameters must include 'X-Amz-{name}'.")
    return _claim(
        credential=parts["X-Amz-Credential"],
        signed_headers=parts["X-Amz-SignedHeaders"],
        signature=parts["X-Amz-Signature"],
        timestamp=parts["X-Amz-Date"],
        in_query=True,
    )


def _claim(
    *, credential: str, signed_headers: str, signature: str, timestamp: str, in_query: bool
) -> Claim:
    # From the right: AWS allows slashes in nothing but the key id.
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, "
            "e.g. keyid/date/region/service/term."
        )
    access_key_id, date, region, service, _term = parts
    return Claim(
        access_key_id=access_key_id,
        scope=(date, region, service),
        signed_headers=tuple(signed_headers.lower().split(";")),
        signature=signature,
        timestamp=timestamp,
        in_query=in_query,
    )


def _header_timestamp(head: RequestHead) -> str:
    if (given := head.header("x-amz-date")) is not None:
        return given.strip()
    if (date := head.header("date")) is not None:
        try:
            return parsedate_to_datetime(date).astimezone(UTC).strftime(ISO_BASIC)
        except (ValueError, OverflowError):
            return date.strip()
    raise _incomplete(
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
    )


def parse_timestamp(timestamp: str) -> datetime:
    """Return when a signature was made.

    Raises:
        ServiceError: ``IncompleteSignatureException`` if it does not say so.

    """
    try:
        return datetime.strptime(timestamp, ISO_BASIC).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete(
            f"Date must be in ISO-8601 'basic format'. Got '{timestamp[:64]}'."
        ) from None


def lifetime_of(head: RequestHead) -> timedelta:
    """Return how long a presigned request is valid.

    Raises:
        ServiceError: ``IncompleteSignatureException`` if it does not say so, or more than a week.

    """
    text = dict(head.query)["X-Amz-Expires"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MAX_EXPIRES_SECONDS):
        raise _incomplete(f"X-Amz-Expires must be between 1 and {_MAX_EXPIRES_SECONDS} seconds.")
    return timedelta(seconds=int(text[:9]))


def _incomplete(message: str) -> ServiceError:
    return ServiceError("IncompleteSignatureException", message)
