"""Dead letters: results that no sink will ever take, kept for a person to look at.

One file for each stream processor, ``dead-letter/PROCESSOR.jsonl``, a line each: when, which
sink, why, and the whole item. It is bounded: when it is half as long as it may be it becomes
``PROCESSOR.jsonl.1``, in place of the one before.
"""

from __future__ import annotations

import base64
import enum
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamd.clock import Clock
from streamd.metrics import Metrics
from streamd.records.items import EVENT_ID, OutboxItem
from streamd.records.values import encode
from streamd.sinks.jsonl import append_lines

__all__ = ["BurialReason", "DeadLetters", "name_of"]

logger = logging.getLogger(__name__)


class BurialReason(enum.Enum):
    """Why a result is a dead letter."""

    REFUSED = "refused"  # the sink said that it never takes it
    EXPIRED = "expired"  # it waited longer than the settings allow
    NO_TARGET = "no-target"  # its target is gone, and the processor has another one now


class DeadLetters:
    """The dead letters of one stream processor. Blocking.

    Args:
        directory: Where the files lie.
        processor_name: Names the file.
        max_bytes: What the file and the one before it may hold, about; one result is kept
            however long it is.
        metrics: Counts them.
        clock: Dates them.
        log_fields: Of each log line, beside the stream processor.

    """

    def __init__(
        self,
        directory: Path,
        processor_name: str,
        *,
        max_bytes: int,
        metrics: Metrics,
        clock: Clock,
        log_fields: Mapping[str, str] | None = None,
    ) -> None:
        self.path = directory / f"{processor_name}.jsonl"
        self._log = {"stream_processor": processor_name, **(log_fields or {}), "action": "bury"}
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._clock = clock

    def bury(
        self, items: Sequence[tuple[OutboxItem, str]], *, sink_name: str, reason: BurialReason
    ) -> None:
        """Keep items, each with the sentence that says why.

        Raises:
            OSError: If they cannot be written; nothing is then.

        """
        now = self._clock.now().isoformat(timespec="milliseconds")
        letters = [_letter(item, time=now, sink=sink_name, text=text) for item, text in items]
        dropped = append_lines(self.path, letters, mode=0o600, max_bytes=self._max_bytes // 2)
        self._metrics.dead_letters.labels(sink_name, reason.value).inc(len(letters))
        logger.error(
            "%d results (%s) are in %s: %s",
            len(letters),
            reason.value,
            self.path,
            items[0][1],
            extra={**self._log, "sink": sink_name, **name_of(items[0][0])},
        )
        if dropped:
            logger.warning("the oldest dead letters were dropped to make room", extra=self._log)


def name_of(item: OutboxItem) -> dict[str, str]:
    """Return the log fields that name a result: its event id, or the key of an object."""
    if (event_id := item.attributes.get(EVENT_ID)) is not None:
        return {"event_id": event_id}
    return {"key": item.key}


def _letter(item: OutboxItem, *, time: str, sink: str, text: str) -> bytes:
    try:
        body = {"body": item.body.decode()}
    except UnicodeDecodeError:
        body = {"bodyBase64": base64.b64encode(item.body).decode()}
    return encode(
        {
            "time": time,
            "sink": sink,
            "reason": text,
            "kind": item.kind,
            "target": item.target,
            "key": item.key,
            "contentType": item.content_type,
            "attributes": dict(item.attributes),
            **body,
        }
    )
