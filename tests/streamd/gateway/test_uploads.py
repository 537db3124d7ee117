"""The order and the patience of uploads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from streamd.errors import StreamdError
from streamd.gateway.archive import Place, StoredFragment
from streamd.gateway.uploads import Uploads
from tests.support.daemon import wait_until


def fragment(number: int, stream_id: int = 1) -> StoredFragment:
    return StoredFragment(
        number=f"{number:047d}",
        server_ms=0,
        server_end_ms=0,
        producer_ms=0,
        length_ms=0,
        place=Place(stream_id=stream_id, segment_id=number, offset=0),
        size=0,
        crc32=0,
        header_offset=0,
        header_size=0,
        header_crc32=0,
    )


class Bench:
    """Uploads to nowhere."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []
        self.attempts: list[StreamdError | None] = []
        self.fails: Callable[[StoredFragment], bool] = lambda _: False
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.uploads = Uploads(self._upload, on_attempt=self.attempts.append, threads=3)
        self.uploads.start()

    def _upload(self, item: StoredFragment) -> None:
        self.entered.set()
        assert self.gate.wait(30)
        if self.fails(item):
            raise StreamdError("away")
        self.done.append((item.place.stream_id, int(item.number)))

    def of(self, stream_id: int) -> list[int]:
        return [number for stream, number in self.done if stream == stream_id]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.gate.set()
    made.uploads.close(seconds=5)


def test_order_within_a_stream(bench: Bench) -> None:
    """However many threads: one after the other of each stream."""
    for number in range(30):
        for stream_id in (1, 2):
            bench.uploads.add(fragment(number, stream_id))
    wait_until(lambda: not bench.uploads.count(), what="all of them")
    assert bench.of(1) == bench.of(2) == list(range(30))


def test_what_fails_is_tried_again_and_holds_up_its_stream_alone(bench: Bench) -> None:
    """Nothing overtakes it; other streams go on."""
    bench.fails = lambda item: item.place.stream_id == 1
    for number in range(3):
        bench.uploads.add(fragment(number, 1))
        bench.uploads.add(fragment(number, 2))
    wait_until(lambda: bench.of(2) == [0, 1, 2], what="the other stream")
    wait_until(lambda: sum(e is not None for e in bench.attempts) >= 3, what="more attempts")
    assert (bench.of(1), bench.uploads.count()) == ([], 3)
    bench.fails = lambda _: False
    wait_until(lambda: bench.of(1) == [0, 1, 2], what="the rest")


def test_a_mistake_of_ours_ends_no_thread(bench: Bench) -> None:
    """What nobody foresaw is tried again, too."""

    def fails(item: StoredFragment) -> bool:
        return bool(1 / (item.number == "x")) and False

    bench.fails = fails
    bench.uploads.add(fragment(0))
    wait_until(lambda: len(bench.attempts) >= 2, what="a second attempt")
    bench.fails = lambda _: False
    wait_until(lambda: bench.of(1) == [0], what="it to work")


def test_what_is_on_its_way_cannot_be_discarded(bench: Bench) -> None:
    """What still waits can; what is done, or was never there, is no obstacle."""
    bench.gate.clear()
    for number in range(3):
        bench.uploads.add(fragment(number))
    assert bench.entered.wait(30)
    assert not bench.uploads.discard(fragment(0))
    assert bench.uploads.discard(fragment(1))
    assert bench.uploads.discard(fragment(99))
    bench.gate.set()
    wait_until(lambda: not bench.uploads.count(), what="the rest")
    assert bench.of(1) == [0, 2]


def test_a_stream_is_discarded_when_nothing_of_it_is_on_its_way(bench: Bench) -> None:
    """It waits for the one; the others never go."""
    bench.gate.clear()
    for number in range(3):
        bench.uploads.add(fragment(number))
    assert bench.entered.wait(30)
    discarding = threading.Thread(target=bench.uploads.discard_stream, args=(1,))
    discarding.start()
    bench.gate.set()
    discarding.join(30)
    assert not discarding.is_alive()
    assert bench.of(1) == [0]


def test_the_end_waits_for_what_works(bench: Bench) -> None:
    """But not for a store that is away."""
    for number in range(20):
        bench.uploads.add(fragment(number))
    bench.uploads.close(seconds=30)
    assert bench.of(1) == list(range(20))
    away = Bench()
    away.fails = lambda _: True
    away.uploads.add(fragment(0))
    wait_until(lambda: away.uploads.is_away, what="the first failure")
    away.uploads.close(seconds=600)
    assert away.uploads.count() == 1
