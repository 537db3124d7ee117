from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.gateway.archive import TimeOrigin
from streamd.gateway.tokens import (
    FragmentPage,
    fragment_token,
    read_fragment_token,
    read_stream_token,
    stream_token,
)
from streamd.protocol.errors import ServiceError

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1"
AFTER = "9" * 47


@given(st.from_regex(r"[a-zA-Z0-9_.-]{1,256}", fullmatch=True))
def test_names_come_back(name: str) -> None:
    """A token of ListStreams is the name it was made of, in the model's alphabet and length."""
    token = stream_token(name)
    assert read_stream_token(token) == name
    assert len(token) <= 512
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=")


@given(
    st.sampled_from(TimeOrigin),
    st.integers(-62_135_596_800_000, 253_402_300_799_999),
    st.integers(-62_135_596_800_000, 253_402_300_799_999),
)
def test_pages_come_back(origin: TimeOrigin, start_ms: int, end_ms: int) -> None:
    """A token of ListFragments is the page it was made of."""
    page = FragmentPage(
        stream_arn=ARN, origin=origin, start_ms=start_ms, end_ms=end_ms, after=AFTER
    )
    assert read_fragment_token(fragment_token(page), stream_arn=ARN) == page


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_the_first_page(token: str | None) -> None:
    """An absent or empty token of ListStreams stands for the beginning."""
    assert read_stream_token(token) is None


@pytest.mark.parametrize(
    "text", [b"", b"no spaces", b"nul\0", b"\xff", "é".encode(), b"a" * 257], ids=repr
)
def test_made_up_names_are_refused(text: bytes) -> None:
    """What no stream can be called is not a token of ours."""
    token = base64.b64encode(text).decode() or "="
    with pytest.raises(ServiceError, match="InvalidArgumentException: NextToken is not valid"):
        read_stream_token(token)


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        ["x", "SERVER_TIMESTAMP", 0, 1, AFTER],
        [ARN, "OTHER", 0, 1, AFTER],
        [ARN, ["SERVER_TIMESTAMP"], 0, 1, AFTER],
        [ARN, "SERVER_TIMESTAMP", 0, 10**30, AFTER],
        [ARN, "SERVER_TIMESTAMP", True, 1, AFTER],
        [ARN, "SERVER_TIMESTAMP", 0.5, 1, AFTER],
        [ARN, "SERVER_TIMESTAMP", 0, 1, "\ud800"],
        [ARN, "SERVER_TIMESTAMP", 0, 1, "1"],
    ],
    ids=repr,
)
def test_made_up_pages_are_refused(values: object) -> None:
    """A token whose members cannot be ours never reaches the index."""
    token = base64.b64encode(json.dumps(values).encode()).decode()
    with pytest.raises(ServiceError, match="NextToken is not valid"):
        read_fragment_token(token, stream_arn=ARN)
