"""Fragment numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs.numbers import is_fragment_number, new_number, next_number, previous_number


def test_first_number() -> None:
    """A number has 47 digits and depends on the time of arrival alone."""
    number = new_number(None, server_timestamp_ms=1_700_000_000_123)
    assert number == "91895533874440673605361653767141652119026663424"


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=2, max_size=20))
def test_numbers_rise(times: list[int]) -> None:
    """Numbers rise as strings too, even where the clock goes back."""
    numbers: list[str] = []
    for time in times:
        numbers.append(new_number(numbers[-1] if numbers else None, server_timestamp_ms=time))
    assert numbers == sorted(set(numbers))
    assert {len(number) for number in numbers} == {47}


def test_neighbours() -> None:
    """Next and previous are one apart and keep the length."""
    number = "0" * 46 + "9"
    assert next_number(number) == "0" * 45 + "10"
    assert previous_number(next_number(number)) == number
    with pytest.raises(ValueError, match="less than 0"):
        previous_number("0")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("0", True),
        ("1" * 128, True),
        ("1" * 129, False),
        ("", False),
        ("12a", False),
        ("\u0661", False),
    ],
)
def test_what_the_api_accepts(text: str, accepted: bool) -> None:
    """1 to 128 ASCII digits."""
    assert is_fragment_number(text) is accepted
