from __future__ import annotations

import pytest
from multidict import CIMultiDict

from streamd.gateway.put_media_head import PutMediaHead, read_head
from streamd.protocol.errors import ServiceError

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1700000000000"
NOW_MS = 1_700_000_000_456


def head(**values: str) -> PutMediaHead:
    """Read headers given with underscores; the type is RELATIVE unless one is given."""
    sent = {"x_amzn_fragment_timecode_type": "RELATIVE", **values}
    headers = CIMultiDict((name.replace("_", "-").title(), text) for name, text in sent.items())
    return read_head(headers, now_ms=NOW_MS)


def test_the_stream_is_named_or_given_by_arn() -> None:
    """Header names are found whatever their case."""
    assert head(x_amzn_stream_name="door").stream == {"StreamName": "door"}
    assert head(x_amzn_stream_arn=ARN).stream == {"StreamARN": ARN}


@pytest.mark.parametrize(
    ("text", "origin_ms"),
    [
        (None, NOW_MS),
        ("0", 0),
        ("1700000000", 1_700_000_000_000),
        ("1700000000.7", 1_700_000_000_700),
        ("1700000000.007", 1_700_000_000_007),
        (" 1700000000.1239 ", 1_700_000_000_123),
        ("1.700000000123E9", 1_700_000_000_123),
        ("1.7e+9", 1_700_000_000_000),
        ("253402300799.999", 253_402_300_799_999),
        ("2023-11-14T22:13:20.007Z", 1_700_000_000_007),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_relative_times_count_from_the_start(text: str | None, origin_ms: int) -> None:
    """The start is epoch seconds with a fraction, or a date as AWS's SDK for Java 1 writes it.

    Without one it is the time of arrival.
    """
    given = {} if text is None else {"x_amzn_producer_start_timestamp": text}
    assert head(x_amzn_stream_name="door", **given).origin_ms == origin_ms


@pytest.mark.parametrize(
    ("text", "origin_ms"),
    [
        ("1700000000.7", 1_700_000_000_007),
        ("1700000000.70", 1_700_000_000_070),
        ("1700000000.700", 1_700_000_000_700),
        ("1700000000", 1_700_000_000_000),
    ],
)
def test_c_producers_do_not_pad_milliseconds(text: str, origin_ms: int) -> None:
    """Told by the header that they alone send, their fraction is a number of milliseconds."""
    read = head(
        x_amzn_stream_name="door",
        x_amzn_producer_start_timestamp=text,
        x_amzn_fragment_acknowledgment_required="1",
    )
    assert read.origin_ms == origin_ms


def test_absolute_times_need_no_start() -> None:
    """ABSOLUTE timecodes count from 1970, whatever the start says."""
    read = head(
        x_amzn_stream_name="door",
        x_amzn_fragment_timecode_type="ABSOLUTE",
        x_amzn_producer_start_timestamp="1700000000",
    )
    assert read.origin_ms == 0


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"x_amzn_stream_name": ""},
        {"x_amzn_stream_name": "door", "x_amzn_stream_arn": ARN},
        {"x_amzn_stream_name": "front door"},
        {"x_amzn_stream_name": "a" * 257},
        {"x_amzn_stream_name": "\udcff"},
        {"x_amzn_stream_arn": "arn:x"},
        {"x_amzn_stream_arn": ARN.removesuffix("/1700000000000")},
        {"x_amzn_stream_arn": ARN + "0" * 1024},
        {"x_amzn_stream_name": "door", "x_amzn_fragment_timecode_type": "absolute"},
        {"x_amzn_stream_name": "door", "x_amzn_fragment_timecode_type": ""},
        *(
            {"x_amzn_stream_name": "door", "x_amzn_producer_start_timestamp": text}
            for text in (
                "",
                "-1",
                "NaN",
                "Infinity",
                "yesterday",
                "1_0",
                "²",
                "253402300800",
                "1e99",
                "2023-02-30T00:00:00Z",
                "1969-12-31T23:59:59.999Z",
                "2023-11-14T22:13:20",
            )
        ),
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_invalid(values: dict[str, str]) -> None:
    """Every rule of the headers is InvalidArgumentException."""
    with pytest.raises(ServiceError) as caught:
        head(**values)
    assert caught.value.code == "InvalidArgumentException"
