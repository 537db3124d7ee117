"""What the store's errors carry."""

from __future__ import annotations

import pytest

from streamd.errors import StreamdError
from streamd.store import errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.NotFoundError("collection", "people"), "collection 'people' does not exist"),
        (errors.NameInUseError("collection", "people"), "collection 'people' already exists"),
        (errors.LimitError("stream processors", 3), "limit of 3 reached: stream processors"),
        (errors.StaleEpochError("s-1", 4), "session s-1 is no longer held with epoch 4"),
        (errors.TokenMismatchError("t"), "token 't' belongs to another request"),
        (
            errors.VersionMismatchError("video stream", "cam", "v1"),
            "video stream 'cam' is not at version 'v1'",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_names_the_thing(error: errors.StoreError, message: str) -> None:
    """Each error is a StreamdError and its message says what it is about."""
    assert isinstance(error, StreamdError)
    assert str(error) == message


def test_errors_are_also_what_callers_think_of() -> None:
    """A missing resource is a LookupError, a bad vector a ValueError."""
    assert issubclass(errors.NotFoundError, LookupError)
    assert issubclass(errors.VectorError, ValueError)
