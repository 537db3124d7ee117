"""Facts about pagination tokens."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.api.pagination import read_token, write_token
from streamd.protocol.errors import ServiceError

names = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=255)


@given(names)
def test_tokens_come_back(after: str) -> None:
    """A token of at most 255 ASCII characters gives back where the next page begins."""
    token = write_token("Op", after)
    assert token.isascii()
    assert len(token) <= 255
    assert read_token("Op", token) == after


def test_no_token_is_the_first_page() -> None:
    """Without a token the list begins at its start."""
    assert read_token("Op", None) is None


@given(names, st.integers(0, 300), st.characters(min_codepoint=33, max_codepoint=126))
def test_changed_tokens_are_refused(after: str, position: int, character: str) -> None:
    """A token with one character changed is not believed."""
    token = write_token("Op", after)
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(ServiceError, match="InvalidPaginationTokenException"):
            read_token("Op", changed)


@given(st.text(max_size=255))
def test_any_text_is_refused_or_read(token: str) -> None:
    """No token makes anything but InvalidPaginationTokenException."""
    with pytest.raises(ServiceError, match="InvalidPaginationTokenException"):
        read_token("Op", token)


def test_tokens_are_bound_to_their_scope() -> None:
    """A token of another operation or collection is refused."""
    with pytest.raises(ServiceError, match="InvalidPaginationTokenException"):
        read_token("ListFaces a", write_token("ListFaces b", "12"))
