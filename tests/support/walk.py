"""What a random walk expects of each stream processor.

Sessions move on by themselves, so the model keeps for every stream processor the *set* of
statuses it may be in by now. An answer is right if some status of the set explains it, and
narrows the set to those that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STOPPED, STARTING, RUNNING = "STOPPED", "STARTING", "RUNNING"
FAILED, STOPPING = "FAILED", "STOPPING"
ACTIVE = {STARTING, RUNNING, STOPPING}

# What a session does of its own accord.
MOVES = {
    "face": {STARTING: {RUNNING}, STOPPING: {STOPPED}},
    "face without a stream": {STARTING: {FAILED}, STOPPING: {STOPPED, FAILED}},
    "face without a collection": {STARTING: {FAILED}, STOPPING: {STOPPED, FAILED}},
    # Ends when its stream brings nothing, and never enters RUNNING.
    "label": {STARTING: {STOPPED, FAILED}, STOPPING: {STOPPED, FAILED}},
}
ALLOWED = {
    "start": {STOPPED, FAILED},
    "stop": {STARTING, RUNNING},
    "update": {STOPPED, FAILED},
    "delete": {STOPPED, FAILED, STARTING},
}
AFTER = {"start": STARTING, "stop": STOPPING, "update": STOPPED}
IN_USE = {
    "start": "Specified resource is in use.",
    "stop": "Processor not available for stopping stream.",
    "update": "Specified resource is in use.",
    "delete": "Cannot delete stream processor.",
}
FAILURES = {
    "face without a stream": "Stream nowhere doesn't exist",
    "face without a collection": "Collection not found",
}


@dataclass
class Expected:
    """What the model knows of one stream processor."""

    kind: str
    described: dict[str, Any]
    """Members Describe must echo, exactly."""
    possible: set[str]
    tags: dict[str, str]
    updated: Any = None
    """Newest LastUpdateTimestamp that was seen."""

    @property
    def is_face(self) -> bool:
        return self.kind.startswith("face")

    def moved(self) -> set[str]:
        """Return every status it may be in by now."""
        reached = set(self.possible)
        moves = MOVES[self.kind]
        while more := {to for status in reached for to in moves.get(status, ())} - reached:
            reached |= more
        return reached


def apply_update(
    described: dict[str, Any],
    home: Mapping[str, Any],
    regions: list[Any] | None,
    opt_in: bool | None,
    deleted: list[str],
) -> None:
    """Do to what Describe must echo what Update has asked for."""
    if "ConnectedHome" in described["Settings"]:
        described["Settings"] = {
            "ConnectedHome": {**described["Settings"]["ConnectedHome"], **home}
        }
        if "ConnectedHomeMinConfidence" in deleted:
            described["Settings"]["ConnectedHome"]["MinConfidence"] = 50.0
    if opt_in is not None:
        described["DataSharingPreference"] = {"OptIn": opt_in}
    if regions:
        described["RegionsOfInterest"] = regions
    elif regions is not None or "RegionsOfInterest" in deleted:
        described.pop("RegionsOfInterest", None)
