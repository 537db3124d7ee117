"""What sinks answer instead of an acknowledgement."""

from __future__ import annotations

from streamd.errors import StreamdError
from streamd.sinks import SinkError, SinkGoneError, SinkRejectedError, SinkUnavailableError


def test_an_error_knows_what_arrived_all_the_same() -> None:
    """Positions of acknowledged items travel with the error."""
    assert SinkUnavailableError("away", settled=[0, 2]).settled == frozenset({0, 2})


def test_a_refusal_names_each_item_and_each_reason_once() -> None:
    """The message sums up, the mapping has the detail."""
    error = SinkRejectedError({1: "too long", 3: "too long", 4: "not text"})
    assert (str(error), error.rejected) == (
        "3 refused: too long; not text",
        {1: "too long", 3: "too long", 4: "not text"},
    )


def test_they_form_one_tree() -> None:
    """A caller may catch them all, or the daemon's all."""
    kinds = (SinkUnavailableError, SinkRejectedError, SinkGoneError)
    assert all(issubclass(kind, SinkError) for kind in kinds)
    assert issubclass(SinkError, StreamdError)
