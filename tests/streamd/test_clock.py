from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from streamd.clock import epoch_ms, utc_from_epoch


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_milliseconds_survive(ms: int) -> None:
    """Milliseconds that became a datetime come back, whichever they are."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert epoch_ms(moment) == ms


def test_milliseconds_are_rounded_down() -> None:
    """What is finer than a millisecond is cut off; the time zone does not matter."""
    assert epoch_ms(utc_from_epoch(1_700_000_000.1239)) == 1_700_000_000_123
    east = timezone(timedelta(hours=5, minutes=30))
    assert epoch_ms(datetime(1970, 1, 1, 5, 30, 0, 1500, tzinfo=east)) == 1
