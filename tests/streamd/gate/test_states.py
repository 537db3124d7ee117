"""The gate's table: every state with every event."""

from __future__ import annotations

import itertools

import pytest

from streamd.gate.states import TRANSITIONS, Event, State, next_state

FOLLOWS = {
    State.CALIBRATING: {
        Event.LEARNT: State.LIVE,
        Event.NOT_SEPARABLE: State.OPEN,
        Event.UNREADABLE: State.OPEN,
        Event.TOO_LONG: State.OPEN,
        Event.WOKEN: State.CALIBRATING,
        Event.CHANGED: State.CALIBRATING,
    },
    State.LIVE: {
        Event.CALM: State.QUIET,
        Event.WOKEN: State.LIVE,
        Event.WRONG: State.CALIBRATING,
        Event.UNREADABLE: State.OPEN,
        Event.TOO_LONG: State.OPEN,
        Event.CHANGED: State.CALIBRATING,
    },
    State.QUIET: {
        Event.WOKEN: State.LIVE,
        Event.UNREADABLE: State.OPEN,
        Event.TOO_LONG: State.OPEN,
        Event.CHANGED: State.CALIBRATING,
    },
    State.OPEN: {
        Event.RETRY: State.CALIBRATING,
        Event.WOKEN: State.OPEN,
        Event.UNREADABLE: State.OPEN,
        Event.CHANGED: State.CALIBRATING,
    },
}


@pytest.mark.parametrize(
    ("state", "event"),
    list(itertools.product(State, Event)),
    ids=lambda value: value.value,
)
def test_every_state_with_every_event(state: State, event: Event) -> None:
    """A pair without a row is a fault of ours; the others lead where they are said to."""
    follows = FOLLOWS[state].get(event)
    if follows is None:
        with pytest.raises(KeyError):
            next_state(state, event)
    else:
        assert next_state(state, event) is follows


def test_only_a_calm_keyframe_leads_to_the_quiet() -> None:
    """Nothing else may stop full decoding."""
    quiet = {pair for pair, follows in TRANSITIONS.items() if follows is State.QUIET}
    assert quiet == {(State.LIVE, Event.CALM)}
