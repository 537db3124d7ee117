"""Pagination tokens of every list: read and used, or refused; never a query that breaks."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path

from streamd.api.pagination import read_token, write_token
from streamd.gateway.archive import TimeOrigin
from streamd.gateway.index import FragmentIndex
from streamd.gateway.tokens import (
    FragmentPage,
    fragment_token,
    read_fragment_token,
    read_stream_token,
    stream_token,
)
from streamd.protocol.errors import ServiceError
from tests.fuzz.target import holds

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1700000000000"
PAGE = FragmentPage(stream_arn=ARN, origin=TimeOrigin.SERVER, start_ms=0, end_ms=10, after="0" * 47)
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-tokens-")
INDEX = FragmentIndex(Path(_FOLDER.name) / "archive.sqlite")


def run(data: bytes) -> None:
    """The first byte picks the list, the rest is the token; half of them behind base64."""
    if not data:
        return
    kind, body = data[0] % 6, data[1:]
    # A search would hardly find base64 by itself.
    text = (base64.b64encode(body) if kind >= 3 else body).decode("utf-8", "replace")
    code = "InvalidArgumentException"
    try:
        if kind % 3 == 0:
            _archived(text)
        elif kind % 3 == 1:
            name = read_stream_token(text)
            assert name is None or base64.b64decode(stream_token(name)) == name.encode()
        else:
            code = "InvalidPaginationTokenException"
            after = read_token("ListCollections", text)
            assert after is None or write_token("ListCollections", after) == text
    except ServiceError as error:
        holds(error.code == code, error)


def _archived(text: str) -> None:
    page = read_fragment_token(text, stream_arn=ARN)
    INDEX.between(
        1, page.origin, start_ms=page.start_ms, end_ms=page.end_ms, after=page.after, limit=2
    )


def seeds() -> Iterator[bytes]:
    """Yield tokens as they are given."""
    token = fragment_token(PAGE).encode()
    yield b"\0" + token
    yield b"\3" + base64.b64decode(token)
    yield b"\1" + stream_token("door").encode()
    yield b"\4door"
    yield b"\2" + write_token("ListCollections", "people.1").encode()
    yield b"\5" + write_token("ListCollections", "people.1").encode()
