"""Log records as text for people or JSON for machines; times in UTC; secrets never.

Fields travel in ``extra``; both formats show them. Whatever looks like a secret is masked
here as well, as the last line of defence: the first is not to log it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

__all__ = [
    "REPEAT_SECONDS",
    "JsonFormatter",
    "RepeatFilter",
    "TextFormatter",
    "configure",
    "masked",
]

MASK: Final = "***"
_SECRET_KEY = re.compile(r"secret|password|passwd|token|authorization|credential|vector", re.I)
_SECRET_TEXT: Final = (
    # To the last "@": a password that was not percent-encoded may hold one.
    (re.compile(r"(?<=://)[^/\s]+@"), f"{MASK}@"),
    (re.compile(r"(?<=Signature=)[0-9a-f]{16,}"), MASK),
    (re.compile(r"(?i)(?<=secret_access_key=)\S+"), MASK),
    # Some cameras take it in the path: rtsp://camera/user=admin_password=..._channel=1.sdp
    (re.compile(r"(?i)(?<=password=)[^&\s\"<>]+"), MASK),
)
_PARAMETER: Final = re.compile(r"(?<=[?&;#])([^\s=&;?#]+)=([^&\s\"<>]+)")
"""Of a URL's query, or of its fragment, where OAuth has its tokens."""
_SECRET_PARAMETER: Final = re.compile(
    r"pass|pwd|psw|secret|token|auth|credential|(?:key|sig|signature)$", re.I
)
_STANDARD: Final = frozenset(
    logging.LogRecord("", 0, "", 0, "", None, None).__dict__
    | {"message": 0, "asctime": 0, "taskName": 0}
)
_QUIET: Final = (
    "aiohttp.access",
    "aiokafka",
    "alembic",
    "asyncio",
    "botocore",
    "boto3",
    "PIL",
    "urllib3",
)
"""Libraries whose details help nobody but their authors."""
_SILENT: Final = ("botocore.credentials",)
"""Tells with a traceback, at every try, what it raises too."""


REPEAT_SECONDS: Final = 10.0
_OURS: Final = ("streamd", "processors")
_MOST_KINDS: Final = 1000


def configure(
    log_format: Literal["text", "json"] = "text",
    level: str = "info",
    *,
    stream: TextIO | None = None,
) -> None:
    """Send all log records to ``stream`` (standard error), in place of what was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


class RepeatFilter(logging.Filter):
    """Lets a library say the same once in ``REPEAT_SECONDS``; the field ``not_shown`` counts.

    A client that has lost its broker says so forty times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}
        """When a kind of message was shown last, and how often it came since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show it. Threads may come at once: one line too many, at worst."""
        if record.name.partition(".")[0] in _OURS:
            return True
        said = record.getMessage() if record.msg == "%s" else str(record.msg)
        kind = (record.name, record.levelno, said)
        shown_at, count = self._seen.get(kind, (-REPEAT_SECONDS, 0))
        if 0 <= record.created - shown_at < REPEAT_SECONDS:
            self._seen[kind] = (shown_at, count + 1)
            return False
        if len(self._seen) >= _MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = (record.created, 0)
        if count:
            record.not_shown = count
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        document: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        for key, value in _fields(record).items():
            # A field may not pass itself off as one of ours.
            document[f"{key}_" if key in document else key] = value
        trace = _trace(self, record)
        if trace:
            document["exception"] = trace
        return json.dumps(document, default=_as_text, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123Z INFO    streamd.worker: message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it."""
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
        message = masked(record.getMessage())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {message}{fields}"
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


def masked(text: str) -> str:
    """Return the text without passwords of URLs, signatures and tokens."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return _PARAMETER.sub(_masked_parameter, text)


def _masked_parameter(found: re.Match[str]) -> str:
    name = found[1]
    return f"{name}={MASK}" if _SECRET_PARAMETER.search(name) else found[0]


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        key: MASK if _SECRET_KEY.search(key) else _masked_value(value)
        for key, value in record.__dict__.items()
        if key not in _STANDARD and not key.startswith("_")
    }


def _masked_value(value: object) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {
            str(key): MASK if _SECRET_KEY.search(str(key)) else _masked_value(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_masked_value(item) for item in value]
    return value


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return masked("\n".join(parts))


def _quoted(value: object) -> str:
    text = _as_text(value)
    # A newline in a field must not look like another record.
    return json.dumps(text, ensure_ascii=False) if re.search(r'[\s"=]', text) or not text else text


def _as_text(value: object) -> str:
    return masked(str(value))
