"""The states of a gate and what moves it from one to another: one table. Pure."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["TRANSITIONS", "Event", "State", "Wake", "next_state"]


class State(enum.Enum):
    """What is decoded of a stream."""

    CALIBRATING = "calibrating"
    """Everything, to learn what the scene is like."""
    QUIET = "quiet"
    """Keyframes; the group of pictures behind the last one is kept as packets."""
    LIVE = "live"
    """Everything: something moves, or did a moment ago."""
    OPEN = "open"
    """Everything: the gate cannot tell, or must not be trusted."""


class Event(enum.Enum):
    """What happens to a gate."""

    LEARNT = "learnt"
    """Quiet and active can be told apart."""
    NOT_SEPARABLE = "not separable"
    """They cannot, or it took too long."""
    UNREADABLE = "unreadable"
    """Packets of a kind, or with damage, that cannot be read."""
    TOO_LONG = "too long"
    """A group of pictures is longer than may be kept."""
    CALM = "calm"
    """Nothing moved and nothing was found for a while, and a keyframe is here."""
    WOKEN = "woken"
    """Something may be moving, see :class:`Wake`."""
    WRONG = "wrong"
    """The audit saw motion that was slept through, or it wakes for nothing too often."""
    RETRY = "retry"
    """Enough time has passed to try again."""
    CHANGED = "changed"
    """The codec's settings are others, or time does not go on where it was."""


class Wake(enum.Enum):
    """Why a gate opened."""

    PACKETS = "packets"
    """Pictures cost more than they do in the quiet."""
    SCENE = "scene"
    """A keyframe differs from the background."""
    DETECTION = "detection"
    """The analysis found something in a keyframe."""
    AUDIT = "audit"
    """A kept group that was decoded all the same shows motion."""
    END = "end"
    """The session ends, or is cut off: all that is kept is wanted."""
    FAULT = "fault"
    """Something cannot be read, is too long, or changed."""


_S, _E = State, Event

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (_S.CALIBRATING, _E.LEARNT): _S.LIVE,
    (_S.CALIBRATING, _E.NOT_SEPARABLE): _S.OPEN,
    (_S.CALIBRATING, _E.UNREADABLE): _S.OPEN,
    (_S.CALIBRATING, _E.TOO_LONG): _S.OPEN,
    (_S.CALIBRATING, _E.WOKEN): _S.CALIBRATING,
    (_S.CALIBRATING, _E.CHANGED): _S.CALIBRATING,
    (_S.LIVE, _E.CALM): _S.QUIET,
    (_S.LIVE, _E.WOKEN): _S.LIVE,
    (_S.LIVE, _E.WRONG): _S.CALIBRATING,
    (_S.LIVE, _E.UNREADABLE): _S.OPEN,
    (_S.LIVE, _E.TOO_LONG): _S.OPEN,
    (_S.LIVE, _E.CHANGED): _S.CALIBRATING,
    (_S.QUIET, _E.WOKEN): _S.LIVE,
    (_S.QUIET, _E.UNREADABLE): _S.OPEN,
    (_S.QUIET, _E.TOO_LONG): _S.OPEN,
    (_S.QUIET, _E.CHANGED): _S.CALIBRATING,
    (_S.OPEN, _E.RETRY): _S.CALIBRATING,
    (_S.OPEN, _E.WOKEN): _S.OPEN,
    (_S.OPEN, _E.UNREADABLE): _S.OPEN,
    (_S.OPEN, _E.CHANGED): _S.CALIBRATING,
}


def next_state(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises:
        KeyError: If the table has no row for this pair: a fault of ours.

    """
    return TRANSITIONS[state, event]
