"""The audit log: who changed what, who looked into which collection, and how it ended.

Lines say names, never contents: no image, no vector, no secret, no member of a request.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import queue
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from streamd.errors import ConfigError
from streamd.protocol.identity import Identity

__all__ = ["auditing", "record"]

logger = logging.getLogger("streamd.audit")
# No child of the one above: what it says must not come back as an audit line.
_TROUBLE = logging.getLogger("streamd.audit_file")

_FIELDS = ("result", "resources", "account", "access_key_id", "peer", "request_id")


def record(
    *,
    operation: str,
    result: str,
    resources: Sequence[str],
    identity: Identity,
    peer: str | None,
    request_id: str,
) -> None:
    """Write a line about one call.

    Args:
        operation: As in policies: ``rekognition:IndexFaces``.
        result: ``OK`` or the error's code.
        resources: ARNs the call named.
        identity: Who called.
        peer: Address the connection came from.
        request_id: As the answer had it.

    """
    logger.info(
        operation,
        extra={
            "result": result,
            "resources": list(resources),
            "account": identity.account_id,
            "access_key_id": identity.access_key_id,
            "peer": peer,
            "request_id": request_id,
        },
    )


@contextlib.contextmanager
def auditing(target: str) -> Iterator[None]:
    """Send the lines where ``server.audit_log`` says while the block runs.

    Raises:
        ConfigError: If the file cannot be opened.

    """
    level = logger.level
    logger.setLevel(logging.INFO)  # whatever the level of the other logs is
    try:
        with _destination(target):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _destination(target: str) -> Iterator[None]:
    if target == "log":
        yield
        return
    logger.propagate = False
    try:
        if target == "off":
            logger.setLevel(logging.CRITICAL + 1)
            yield
        else:
            with _file(target):
                yield
    finally:
        logger.propagate = True


@contextlib.contextmanager
def _file(target: str) -> Iterator[None]:
    try:
        file = _AuditFile(Path(target).resolve())
    except OSError as error:
        raise ConfigError(
            f"'server.audit_log': {target} cannot be written: {error.strerror}"
        ) from error
    # The event loop must not wait for a disk: lines go through a thread.
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    door = logging.handlers.QueueHandler(lines)
    listener = logging.handlers.QueueListener(lines, file)
    logger.addHandler(door)
    listener.start()
    try:
        yield
    finally:
        logger.removeHandler(door)
        listener.stop()  # writes what is left
        file.close()


class _AuditFile(logging.handlers.WatchedFileHandler):
    """Appends JSON lines to a file of this user's; goes on in a new one when it is moved away."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self._is_failing = False

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "operation": record.getMessage(),
        }
        line.update((name, getattr(record, name, None)) for name in _FIELDS)
        return json.dumps(line)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        try:
            super().emit(record)  # which may open a new file, and fail at that
        except OSError:
            self.handleError(record)
        else:
            self._is_failing = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Say in the log that lines are lost, and which."""
        # The line itself goes where somebody may still find it.
        _TROUBLE.error(
            "audit line not written: %s",
            self.format(record),
            exc_info=not self._is_failing,
        )
        self._is_failing = True

    def _open(self) -> TextIOWrapper:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(  # the handler closes it
            self.baseFilename, "a", encoding="utf-8", opener=opener
        )
