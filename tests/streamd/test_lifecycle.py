"""The lifecycle: every status with every event, written out."""

from __future__ import annotations

import pytest

from streamd.lifecycle import TRANSITIONS, Event, Status, TransitionError, next_status

# Rows: statuses. Columns: events. "-": refused, "gone": deleted.
MATRIX = """
           START     INPUT    STOP      ENDED    FAILED  UPDATE    UPDATED  DELETE
STOPPED    STARTING  -        -         -        -       UPDATING  -        gone
STARTING   -         RUNNING  STOPPING  STOPPED  FAILED  -         -        gone
RUNNING    -         RUNNING  STOPPING  STOPPED  FAILED  -         -        -
FAILED     STARTING  -        -         -        -       UPDATING  -        gone
STOPPING   -         STOPPING -         STOPPED  FAILED  -         -        -
UPDATING   -         -        -         -        -       -         STOPPED  -
"""
EVENTS = {
    "START": Event.START_REQUESTED,
    "INPUT": Event.INPUT_OPENED,
    "STOP": Event.STOP_REQUESTED,
    "ENDED": Event.SESSION_ENDED,
    "FAILED": Event.SESSION_FAILED,
    "UPDATE": Event.UPDATE_REQUESTED,
    "UPDATED": Event.UPDATED,
    "DELETE": Event.DELETE_REQUESTED,
}


def cases() -> list[tuple[Status, Event, str]]:
    """Return the cells of the matrix."""
    header, *rows = [line.split() for line in MATRIX.strip().splitlines()]
    return [
        (Status(row[0]), EVENTS[column], cell)
        for row in rows
        for column, cell in zip(header, row[1:], strict=True)
    ]


def test_matrix_has_every_pair() -> None:
    """No status and no event is left out."""
    pairs = [(status, event) for status, event, _ in cases()]
    assert len(pairs) == len(set(pairs)) == len(Status) * len(Event) == 48


@pytest.mark.parametrize(
    ("status", "event", "expected"), cases(), ids=lambda value: getattr(value, "name", value)
)
def test_every_status_with_every_event(status: Status, event: Event, expected: str) -> None:
    """The next status is the documented one, and all else is refused."""
    if expected == "-":
        with pytest.raises(TransitionError) as refused:
            next_status(status, event)
        assert (refused.value.status, refused.value.event) == (status, event)
    else:
        assert next_status(status, event) == (None if expected == "gone" else Status(expected))


def test_every_row_is_reachable_from_a_new_processor() -> None:
    """A processor begins STOPPED, and from there every row of the table can be used."""
    reached = {Status.STOPPED}
    used = set()
    for _ in Status:
        for (status, event), following in TRANSITIONS.items():
            if status in reached:
                used.add((status, event))
                if following is not None:
                    reached.add(following)
    assert reached == set(Status)
    assert used == set(TRANSITIONS)


def test_every_status_leads_to_deletion() -> None:
    """Nobody is stuck: from each status some events end in a deleted processor."""
    leads = {s for (s, _), following in TRANSITIONS.items() if following is None}
    for _ in Status:
        leads |= {s for (s, _), following in TRANSITIONS.items() if following in leads}
    assert leads == set(Status)


def test_stop_is_never_undone() -> None:
    """From STOPPING only the end of the session leads on."""
    following = {
        TRANSITIONS[Status.STOPPING, event]
        for event in Event
        if (Status.STOPPING, event) in TRANSITIONS
    }
    assert following == {Status.STOPPING, Status.STOPPED, Status.FAILED}


def test_message_of_a_refusal_names_both() -> None:
    """It says the status and what was tried."""
    with pytest.raises(TransitionError, match="no transition from RUNNING on 'delete requested'"):
        next_status(Status.RUNNING, Event.DELETE_REQUESTED)


def test_statuses_are_the_wire_values() -> None:
    """A status is its own text on the wire."""
    assert list(Status) == [
        "STOPPED",
        "STARTING",
        "RUNNING",
        "FAILED",
        "STOPPING",
        "UPDATING",
    ]
