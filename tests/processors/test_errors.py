"""Errors carry what happened and what helps."""

from __future__ import annotations

import pytest

from processors import errors


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "ModelError"])
def test_one_root(name: str) -> None:
    """Every error of the library is a ModelError."""
    assert issubclass(getattr(errors, name), errors.ModelError)


def test_a_missing_file_says_what_to_run() -> None:
    """The message names pack, reason, files and command."""
    error = errors.PackFileError("p", ["a", "b"], "missing", advice="streamd models pull p")
    assert str(error) == "model pack 'p': missing: a, b; run: streamd models pull p"
    assert error.files == ("a", "b")


def test_an_unknown_pack_lists_the_known() -> None:
    """The message names the packs there are, and callers may think in LookupError."""
    error = errors.UnknownPackError("x", ["a", "b"])
    assert str(error) == "no model pack is called 'x', there are a, b"
    assert isinstance(error, LookupError)
