"""How values become JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.geometry import Box
from streamd.records import values


def test_epoch_seconds_keep_their_milliseconds() -> None:
    """A timestamp of 512 ms past the second is written with exactly these digits."""
    assert json.dumps(values.epoch_seconds(1700000100512)) == "1700000100.512"


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_every_epoch_millisecond_survives(milliseconds: int) -> None:
    """The decimal form has three digits or fewer behind the point and gives the number back."""
    text = json.dumps(values.epoch_seconds(milliseconds))
    whole, _, fraction = text.partition(".")
    assert len(fraction) <= 3
    assert int(whole) * 1000 + int(fraction.ljust(3, "0")) == milliseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0.0"), (1_200_000_000, "1.2"), (33_366_667, "0.033366667"), (2_000_000_000, "2.0")],
    ids=["start", "tenths", "nanoseconds", "whole"],
)
def test_offsets_are_exact(nanoseconds: int, text: str) -> None:
    """A frame offset is written with all of its digits."""
    assert json.dumps(values.offset_seconds(nanoseconds)) == text


@pytest.mark.parametrize(
    ("nanoseconds", "milliseconds"),
    [(1_200_000_000, 1200), (33_366_667, 33), (1_500_000, 2), (499_999, 0)],
    ids=["whole", "down", "half", "below"],
)
def test_offset_milliseconds_are_the_nearest(nanoseconds: int, milliseconds: int) -> None:
    """The offset in a notification is a whole number of milliseconds."""
    assert values.offset_milliseconds(nanoseconds) == milliseconds


def test_ratios_lose_only_digits_without_meaning() -> None:
    """Six digits stay; a tiny negative number is plain 0."""
    assert json.dumps([values.ratio(0.12345678), values.ratio(-1e-9)]) == "[0.123457, 0.0]"


def test_ratios_may_leave_the_picture() -> None:
    """A box may run below 0 and above 1 at the edges."""
    box = values.upper_box(Box(left=-0.02, top=0.9, width=0.1, height=0.2))
    assert list(box.items()) == [
        ("Height", 0.2),
        ("Width", 0.1),
        ("Left", -0.02),
        ("Top", 0.9),
    ]


@pytest.mark.parametrize(("value", "expected"), [(100.00001, 100.0), (-0.1, 0.0), (97.4, 97.4)])
def test_percentages_stay_in_range(value: float, expected: float) -> None:
    """Rounding noise never leaves 0 to 100."""
    assert values.percent(value) == expected


def test_documents_are_compact_ascii() -> None:
    """A document is one line without spaces, readable in any encoding."""
    assert values.encode({"a": [1, 2.5], "b": "ä"}) == b'{"a":[1,2.5],"b":"\\u00e4"}'


def test_numbers_json_cannot_say_are_refused() -> None:
    """NaN never reaches a consumer."""
    with pytest.raises(ValueError, match="JSON"):
        values.encode({"a": float("nan")})


def test_an_event_id_repeats_with_what_it_names() -> None:
    """The same parts make the same UUID, in every process and release."""
    assert values.event_id("a", 1) == "6a6e2788-86ff-56eb-b13c-55be3b312c21"


def test_event_ids_of_different_things_differ() -> None:
    """Parts are not run together."""
    assert values.event_id("ab", "c") != values.event_id("a", "bc")
