"""The lifecycle of a stream processor: statuses, events and the one transition table.

Sources: *Amazon Rekognition API Reference*, StartStreamProcessor, StopStreamProcessor,
UpdateStreamProcessor, DescribeStreamProcessor; *Developer Guide*, "Working with streaming
video events" (label sessions stay STARTING) and "Troubleshooting streaming video".
"""

from __future__ import annotations

import enum

from streamd.errors import StreamdError

__all__ = ["TRANSITIONS", "Event", "Status", "TransitionError", "next_status"]


class Status(enum.StrEnum):
    """The six values of StreamProcessorStatus."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    UPDATING = "UPDATING"


class Event(enum.Enum):
    """What can happen to a stream processor."""

    START_REQUESTED = "start requested"
    INPUT_OPENED = "input opened"
    """The session reads its input. Only face search sends it: label sessions stay STARTING."""
    STOP_REQUESTED = "stop requested"
    SESSION_ENDED = "session ended"
    """The session is over and all it made is on its way to the sink."""
    SESSION_FAILED = "session failed"
    UPDATE_REQUESTED = "update requested"
    UPDATED = "updated"
    DELETE_REQUESTED = "delete requested"


class TransitionError(StreamdError):
    """The table has no row for this status and event; the status is unchanged."""

    def __init__(self, status: Status, event: Event) -> None:
        super().__init__(f"no transition from {status} on {event.value!r}")
        self.status = status
        self.event = event


DELETED = None
"""The processor is gone."""

TRANSITIONS: dict[tuple[Status, Event], Status | None] = {
    # StartStreamProcessor: from STOPPED; from FAILED per the troubleshooting page.
    (Status.STOPPED, Event.START_REQUESTED): Status.STARTING,
    (Status.FAILED, Event.START_REQUESTED): Status.STARTING,
    # Face search turns RUNNING; a label session stays STARTING for its whole run.
    (Status.STARTING, Event.INPUT_OPENED): Status.RUNNING,
    # A worker that takes a running session over opens the input again.
    (Status.RUNNING, Event.INPUT_OPENED): Status.RUNNING,
    # StopStreamProcessor; a label session may be stopped while STARTING (inferred).
    (Status.STARTING, Event.STOP_REQUESTED): Status.STOPPING,
    (Status.RUNNING, Event.STOP_REQUESTED): Status.STOPPING,
    # Label sessions end by themselves ("transitions to STOPPED or FAILED").
    (Status.STARTING, Event.SESSION_ENDED): Status.STOPPED,
    (Status.RUNNING, Event.SESSION_ENDED): Status.STOPPED,
    (Status.STOPPING, Event.SESSION_ENDED): Status.STOPPED,
    (Status.STARTING, Event.SESSION_FAILED): Status.FAILED,
    (Status.RUNNING, Event.SESSION_FAILED): Status.FAILED,
    (Status.STOPPING, Event.SESSION_FAILED): Status.FAILED,
    # The input may be found open after Stop was asked for: Stop wins.
    (Status.STOPPING, Event.INPUT_OPENED): Status.STOPPING,
    # UpdateStreamProcessor: STOPPED -> UPDATING -> STOPPED (observed by Terraform).
    (Status.STOPPED, Event.UPDATE_REQUESTED): Status.UPDATING,
    (Status.FAILED, Event.UPDATE_REQUESTED): Status.UPDATING,
    (Status.UPDATING, Event.UPDATED): Status.STOPPED,
    # DeleteStreamProcessor; from STARTING per the troubleshooting page ("stuck in STARTING").
    (Status.STOPPED, Event.DELETE_REQUESTED): DELETED,
    (Status.FAILED, Event.DELETE_REQUESTED): DELETED,
    (Status.STARTING, Event.DELETE_REQUESTED): DELETED,
}


def next_status(status: Status, event: Event) -> Status | None:
    """Return the status that follows, ``None`` once the processor is deleted.

    Raises:
        TransitionError: If the table has no row for this pair.

    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise TransitionError(status, event) from None
