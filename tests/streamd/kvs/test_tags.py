"""How Kinesis Video spells its tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs import tags


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(1_700_000_100_512, "1700000100.512"), (0, "0.000"), (7, "0.007")]
)
def test_timestamps(milliseconds: int, text: str) -> None:
    """Seconds, a point, three digits; read back exactly."""
    assert tags.format_timestamp(milliseconds) == text
    assert tags.parse_timestamp(text) == milliseconds


@given(st.integers(0, 10**14))
def test_no_millisecond_is_lost(milliseconds: int) -> None:
    """No timestamp passes through a float."""
    assert tags.parse_timestamp(tags.format_timestamp(milliseconds)) == milliseconds


@pytest.mark.parametrize(("text", "value"), [("12", 12000), ("1.5", 1500), (" 1.23456 ", 1234)])
def test_other_spellings(text: str, value: int) -> None:
    """Whole seconds and other numbers of digits are understood."""
    assert tags.parse_timestamp(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1e9", "nan", "1.", "1" * 16, "\u0663"])
def test_not_a_timestamp(text: str) -> None:
    """Anything else is an error."""
    with pytest.raises(ValueError, match="not a timestamp"):
        tags.parse_timestamp(text)


def test_tags_of_a_fragment() -> None:
    """Names and values as in recordings of the service."""
    assert tags.fragment_tags("12", server_timestamp_ms=1500, producer_timestamp_ms=0) == {
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER": "12",
        "AWS_KINESISVIDEO_SERVER_TIMESTAMP": "1.500",
        "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP": "0.000",
    }
    assert tags.trailing_tags("12", millis_behind_now=40) == {
        "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW": "40",
        "AWS_KINESISVIDEO_CONTINUATION_TOKEN": "12",
    }
    assert tags.error_tags("12", error_id=4000, error_code="GONE") == {
        "AWS_KINESISVIDEO_FRAGMENT_NUMBER": "12",
        "AWS_KINESISVIDEO_ERROR_CODE": "GONE",
        "AWS_KINESISVIDEO_ERROR_ID": "4000",
    }
