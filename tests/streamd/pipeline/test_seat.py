"""A seat keeps a session's error from the others at the feed."""

from __future__ import annotations

from streamd.pipeline.frames import FragmentDone
from streamd.pipeline.seat import Seat, SeatEnd
from tests.support.feed import NotingChain, Room


class Breaking(NotingChain):
    """Breaks at everything."""

    def take(self, output: object) -> None:
        """Break."""
        raise OSError(f"no space left for {output}")


async def test_error_is_kept_for_the_session() -> None:
    """And the chain is shown nothing more."""
    seat = Seat(Breaking(), processor_name="door", delivery=Room())
    seat.take(FragmentDone(number="1"))
    first = seat.error
    seat.take(FragmentDone(number="2"))
    assert isinstance(first, OSError)
    assert seat.error is first


async def test_first_end_counts() -> None:
    """What happens to a feed afterwards is no longer the session's business."""
    seat = Seat(NotingChain(), processor_name="door", delivery=Room())
    seat.give_up(SeatEnd.OVER)
    seat.give_up(SeatEnd.BROKEN)
    assert seat.end is SeatEnd.OVER
    assert seat.ended.is_set()
