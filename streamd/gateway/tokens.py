"""NextToken of ListStreams and ListFragments: where the next page begins. Pure.

A token is base64, as the models' patterns demand. Anybody can make one up, so what it says is
checked as if it were a member of the request.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from streamd.gateway.archive import TimeOrigin
from streamd.kvs.numbers import DIGITS
from streamd.protocol.errors import ServiceError

__all__ = [
    "FragmentPage",
    "fragment_token",
    "read_fragment_token",
    "read_stream_token",
    "stream_token",
]

_STREAM_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,256}", re.ASCII)
_NUMBER: Final = re.compile(rf"[0-9]{{{DIGITS}}}", re.ASCII)
_MAX_MS: Final = 1 << 53


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentPage:
    """What a page of ListFragments shows: fragments of a time range after a number."""

    stream_arn: str
    origin: TimeOrigin
    start_ms: int
    end_ms: int
    after: str


def stream_token(last_name: str) -> str:
    """Return the token for the streams after a name."""
    return base64.b64encode(last_name.encode()).decode()


def read_stream_token(token: str | None) -> str | None:
    """Return the name a token of ListStreams stands for; ``None`` for the first page.

    Raises:
        ServiceError: ``InvalidArgumentException`` if we did not make it.

    """
    if not token:
        return None
    try:
        name = base64.b64decode(token, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if _STREAM_NAME.fullmatch(name) is None:
        raise _invalid()
    return name


def fragment_token(page: FragmentPage) -> str:
    """Return the token for a page of ListFragments."""
    values = [page.stream_arn, page.origin.value, page.start_ms, page.end_ms, page.after]
    return base64.b64encode(json.dumps(values, separators=(",", ":")).encode()).decode()


def read_fragment_token(token: str, *, stream_arn: str) -> FragmentPage:
    """Return the page a token of ListFragments stands for.

    Raises:
        ServiceError: ``InvalidArgumentException`` if we did not make it, or for another stream.

    """
    try:
        values = json.loads(base64.b64decode(token, validate=True))
    except (ValueError, RecursionError):
        raise _invalid() from None
    page = _page(values)
    if page is None or page.stream_arn != stream_arn:
        raise _invalid()
    return page


def _page(values: Any) -> FragmentPage | None:
    match values:
        case [str(arn), str(origin), int(start), int(end), str(after)]:
            is_time = all(type(ms) is int and -_MAX_MS < ms < _MAX_MS for ms in (start, end))
            if origin in set(TimeOrigin) and is_time and _NUMBER.fullmatch(after):
                return FragmentPage(
                    stream_arn=arn,
                    origin=TimeOrigin(origin),
                    start_ms=start,
                    end_ms=end,
                    after=after,
                )
    return None


def _invalid() -> ServiceError:
    return ServiceError("InvalidArgumentException", "NextToken is not valid.")
