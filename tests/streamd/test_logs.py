"""Log lines: fields, UTC times, one record a line, no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from streamd import logs

LOGGER = "streamd.test"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Give the root logger back as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level
    logging.captureWarnings(capture=False)


def record(message: str = "hello", *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord(LOGGER, logging.INFO, __file__, 1, message, args, None)
    made.created = 1_700_000_000.123
    made.__dict__.update(fields)
    return made


def test_text_shows_time_level_logger_message_and_fields() -> None:
    """A line for people, with UTC to the millisecond and fields behind."""
    line = logs.TextFormatter().format(record("took %d", 3, stream="porch", text="two words"))
    assert line == (
        '2023-11-14T22:13:20.123Z INFO    streamd.test: took 3 stream=porch text="two words"'
    )


def test_json_is_one_object() -> None:
    """A line for machines keeps the types of fields."""
    line = logs.JsonFormatter().format(record("took %d", 3, frames=7, ratio=0.5))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "logger": "streamd.test",
        "message": "took 3",
        "frames": 7,
        "ratio": 0.5,
    }


def test_json_fields_cannot_replace_ours() -> None:
    """A field called like one of ours gets another name."""
    document = json.loads(logs.JsonFormatter().format(record("hello", level="fake")))
    assert (document["level"], document["level_"]) == ("info", "fake")


def test_json_takes_values_json_does_not_know() -> None:
    """Anything else is written as text."""
    document = json.loads(
        logs.JsonFormatter().format(
            record(
                path=io,
                labels={
                    "a",
                },
            )
        )
    )
    assert isinstance(document["labels"], str)


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
def test_a_record_is_one_line(formatter: logging.Formatter) -> None:
    """A newline in a field cannot forge another record."""
    line = formatter.format(record(name_given="a\nb"))
    assert "\n" not in line


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("opening rtsp://admin:hush@camera/1", {}),
        ("GET https://s3/x?X-Amz-Signature=0123456789abcdef&a=1", {"hush_not": 1}),
        ("sent", {"sasl_password": "hush"}),
        ("sent", {"authorization": "AWS4 hush"}),
        ("sent", {"request": {"secret_access_key": "hush", "name": "x"}}),
        ("sent", {"session_token": "hush"}),
        ("sent", {"vector": "hush"}),
        ("sent", {"urls": ["rtsp://u:hush@h/1"]}),
    ],
)
def test_secrets_are_masked(
    formatter: logging.Formatter, message: str, fields: dict[str, object]
) -> None:
    """Passwords in URLs, signatures and fields named like secrets never reach a log."""
    line = formatter.format(record(message, **fields))
    assert "hush" not in line.replace("hush_not", "")
    assert "0123456789abcdef" not in line
    assert "***" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://cam/v?user=a&password=hush&ch=1", "http://cam/v?user=a&password=***&ch=1"),
        ("http://cam/v?pwd=hush", "http://cam/v?pwd=***"),
        (
            "http://s3/x?X-Amz-Security-Token=hu%2Fsh&part=2",
            "http://s3/x?X-Amz-Security-Token=***&part=2",
        ),
        ("http://s3/x?X-Amz-Signature=hush", "http://s3/x?X-Amz-Signature=***"),
        ("https://hooks/in?token=hush is away", "https://hooks/in?token=*** is away"),
        ("https://hooks/in?a=1&api_key=hush", "https://hooks/in?a=1&api_key=***"),
        ("https://hooks/in#access_token=hush", "https://hooks/in#access_token=***"),
        ("rtsp://cam/user=a_password=hush_ch=1.sdp", "rtsp://cam/user=a_password=***"),
        ("rtsp://admin:hu@sh@cam/1", "rtsp://***@cam/1"),
        ("http://cam/v?keyframes=2&channel=1", "http://cam/v?keyframes=2&channel=1"),
    ],
)
def test_secrets_of_urls_are_masked_and_the_rest_is_told(text: str, shown: str) -> None:
    """Values of a query that are named like secrets are hidden, the others stay readable."""
    assert logs.masked(f"opening {text}") == f"opening {shown}"


def test_exceptions_carry_their_traceback() -> None:
    """logger.exception writes the traceback, masked."""

    def fail() -> None:
        raise ValueError("rtsp://u:hush@camera is broken")

    made = record("failed")
    try:
        fail()
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    text = logs.TextFormatter().format(made)
    document = json.loads(logs.JsonFormatter().format(made))
    assert "ValueError: rtsp://***@camera is broken" in text
    assert document["exception"].endswith("ValueError: rtsp://***@camera is broken")


def test_configure_replaces_handlers_and_quiets_libraries(root: logging.Logger) -> None:
    """Configuring twice writes every record once, and libraries' details not at all."""
    stream = io.StringIO()
    logs.configure("json", "debug", stream=io.StringIO())
    logs.configure("json", "info", stream=stream)
    logging.getLogger(LOGGER).info("here", extra={"stream": "porch"})
    logging.getLogger(LOGGER).debug("not here")
    logging.getLogger("aiohttp.access").info("nor here")
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["here"]
    assert root.level == logging.INFO


def _of_library(
    filtered: logs.RepeatFilter, message: str, *args: object, at: float, name: str = "aiokafka"
) -> tuple[bool, object]:
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)
    made.created = 1_700_000_000 + at
    return filtered.filter(made), getattr(made, "not_shown", None)


def test_a_library_says_the_same_once_in_a_while() -> None:
    """What was left out is counted; other messages and other libraries are not held back."""
    filtered = logs.RepeatFilter()
    away = "Unable connect to node with id %s"
    assert _of_library(filtered, away, 1, at=0) == (True, None)
    for at in (0.1, 0.2, 9.9):
        assert _of_library(filtered, away, 2, at=at) == (False, None)
    assert _of_library(filtered, "Topic %s not found", "a", at=0.3) == (True, None)
    assert _of_library(filtered, away, 1, at=0.3, name="kafka") == (True, None)
    assert _of_library(filtered, away, 1, at=10.0) == (True, 3)
    assert _of_library(filtered, away, 1, at=20.0) == (True, None)
    # Set back, the clock silences nobody.
    assert _of_library(filtered, away, 1, at=-3600) == (True, None)


def test_what_a_message_is_made_of_tells_warnings_apart() -> None:
    """All of Python's warnings have one format."""
    filtered = logs.RepeatFilter()
    for text in ("one", "two"):
        assert _of_library(filtered, "%s", text, at=0, name="py.warnings") == (True, None)
    assert _of_library(filtered, "%s", "one", at=1, name="py.warnings") == (False, None)


def test_our_own_messages_are_all_shown(root: logging.Logger) -> None:
    """Through the handler as it is set up: a library's repeats go, ours stay."""
    stream = io.StringIO()
    logs.configure(stream=stream)
    for _ in range(3):
        root.getChild("aiokafka").error("away")
        logging.getLogger(LOGGER).error("waiting")
    assert (stream.getvalue().count("away"), stream.getvalue().count("waiting")) == (1, 3)
