"""Where a consumer begins, and what it gets next: archived or live, nothing twice or left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamd.clock import utc_from_epoch
from streamd.gateway.cursor import Cursor, open_cursor
from streamd.gateway.door import ArchiveDoor
from streamd.gateway.fragmenter import Opened
from streamd.gateway.live import FragmentState, LiveStream
from streamd.protocol.errors import ServiceError
from tests.support.archives import ARN, T0_MS, DiskBox

OPENED = Opened(header=b"header", timecode_ms=0, producer_ms=T0_MS + 10_000)


async def _run(function: Callable[..., Any], /, *args: Any) -> Any:
    return function(*args)


class Desk:
    """A stream with fragments of the seconds 0 to 2 in its archive."""

    def __init__(self, box: DiskBox) -> None:
        self.box = box
        self.stored = [box.put(second) for second in range(3)]
        self.door = ArchiveDoor(box.archive, _run)
        self.stream = LiveStream(
            ARN,
            stream_id=box.archive.stream_id(ARN),
            newest=self.stored[-1].number,
            newest_ms=self.stored[-1].server_ms,
            retention_hours=24,
        )

    async def open(self, kind: str, **members: Any) -> Cursor:
        return await open_cursor(self.door, self.stream, {"StartSelectorType": kind, **members})

    async def seconds(self, cursor: Cursor) -> list[int]:
        """What comes until there is nothing, as seconds."""
        found = []
        while (fragment := await cursor.next()) is not None:
            found.append((fragment.server_ms - T0_MS) // 1000)
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    box = DiskBox(tmp_path / "a")
    yield Desk(box)
    box.archive.close()


def at(second: float) -> dict[str, Any]:
    return {"StartTimestamp": utc_from_epoch(T0_MS / 1000 + second)}


@pytest.mark.parametrize(
    ("kind", "members", "seconds"),
    [
        ("EARLIEST", {}, [0, 1, 2]),
        ("NOW", {}, []),
        ("SERVER_TIMESTAMP", at(1.5), [1, 2]),
        ("SERVER_TIMESTAMP", at(1.95), [2]),
        ("PRODUCER_TIMESTAMP", at(1.95), [1, 2]),
        ("SERVER_TIMESTAMP", at(-3600), [0, 1, 2]),
        ("SERVER_TIMESTAMP", at(3600), []),
    ],
    ids=["earliest", "now", "within", "server gap", "producer length", "before all", "after all"],
)
async def test_a_selector_means_a_position(
    desk: Desk, kind: str, members: dict[str, Any], seconds: list[int]
) -> None:
    """The fragment that holds the time, else the next (API reference, StartSelector)."""
    assert await desk.seconds(await desk.open(kind, **members)) == seconds


@pytest.mark.parametrize(
    ("kind", "member"),
    [("FRAGMENT_NUMBER", "AfterFragmentNumber"), ("CONTINUATION_TOKEN", "ContinuationToken")],
)
async def test_a_number_means_what_comes_after_it(desk: Desk, kind: str, member: str) -> None:
    """Whether its fragment is there or not; one beyond all waits for the next."""
    cursor = await desk.open(kind, **{member: desk.stored[0].number})
    assert await desk.seconds(cursor) == [1, 2]
    assert cursor.last == desk.stored[2].number
    beyond = await desk.open(kind, **{member: "9" * 47})
    assert await desk.seconds(beyond) == []


@pytest.mark.parametrize(
    ("kind", "members", "says"),
    [
        ("FRAGMENT_NUMBER", {}, "AfterFragmentNumber is required"),
        ("CONTINUATION_TOKEN", {"ContinuationToken": "x"}, "ContinuationToken 'x' is not valid"),
        ("SERVER_TIMESTAMP", {}, "StartTimestamp is required"),
    ],
)
async def test_a_selector_without_its_member_is_refused(
    desk: Desk, kind: str, members: dict[str, Any], says: str
) -> None:
    """With the member's name."""
    with pytest.raises(ServiceError, match=says) as caught:
        await desk.open(kind, **members)
    assert caught.value.code == "InvalidArgumentException"


async def test_now_is_the_fragment_in_progress(desk: Desk) -> None:
    """From its beginning: from its middle it could not be decoded."""
    fragment = desk.stream.begin(OPENED, server_ms=T0_MS + 10_000)
    cursor = await desk.open("NOW")
    assert await cursor.next() is fragment
    assert await cursor.next() is None


async def test_live_follows_archived_without_a_gap(desk: Desk) -> None:
    """What is archived between two calls is found there, and what is live after it."""
    cursor = await desk.open("EARLIEST")
    first = await cursor.next()
    live = desk.stream.begin(OPENED, server_ms=T0_MS + 10_000)
    assert first is not None
    assert first.number == desk.stored[0].number
    assert await desk.seconds(cursor) == [1, 2, 10]
    assert cursor.last == live.number


async def test_what_was_cut_short_comes_from_the_archive(desk: Desk) -> None:
    """Live, its cluster still says a size it does not have."""
    live = desk.stream.begin(OPENED, server_ms=T0_MS + 10_000)
    desk.stream.complete(live, server_end_ms=live.server_ms, length_ms=1, patch=(0, b"x"))
    assert live.state is FragmentState.TORN
    cursor = await desk.open("FRAGMENT_NUMBER", AfterFragmentNumber=desk.stored[2].number)
    assert await cursor.next() is None


async def test_fragments_that_failed_are_passed(desk: Desk) -> None:
    """The one after them is next."""
    cursor = await desk.open("NOW")
    desk.stream.fail(desk.stream.begin(OPENED, server_ms=T0_MS + 10_000))
    following = desk.stream.begin(OPENED, server_ms=T0_MS + 11_000)
    assert await cursor.next() is following


async def test_a_time_to_come_waits_for_it(desk: Desk) -> None:
    """Media that arrives before it, and ends before it, is not wanted."""
    cursor = await desk.open("SERVER_TIMESTAMP", **at(3600))
    desk.stream.begin(OPENED, server_ms=T0_MS + 10_000)
    assert await cursor.next() is None
    wanted = desk.stream.begin(OPENED, server_ms=T0_MS + 3_601_000)
    assert await cursor.next() is wanted
    assert cursor.not_before is None
