"""The outbox: durable, ordered, bounded, owned by one."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.pipeline.outbox import (
    Outbox,
    OutboxError,
    OutboxItem,
    OutboxTakenError,
    outbox_path,
)
from tests.support.clock import ManualClock
from tests.support.outbox import MANY, item, keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return outbox_path(tmp_path / "outbox", "door")


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    box = Outbox(path, max_bytes=10_000)
    yield box
    box.close()


def test_items_come_back_whole_and_in_order(outbox: Outbox) -> None:
    """Every field of an item is kept; numbers rise."""
    binary = OutboxItem(
        kind="s3",
        target="bucket",
        key="a/b.jpg",
        content_type="image/jpeg",
        body=bytes(range(256)),
        attributes={"kms_key_id": "alias/ä"},
    )
    outbox.append([item("1"), binary])
    outbox.append([item("3")])
    assert outbox.peek(10, 10_000) == [(1, item("1")), (2, binary), (3, item("3"))]


@pytest.mark.parametrize(
    ("limit", "max_bytes", "expected"),
    [(2, MANY, ["1", "2"]), (9, 1, ["1"]), (9, 700, ["1", "2"])],
    ids=["count", "one at least", "bytes"],
)
def test_peek_is_bounded(outbox: Outbox, limit: int, max_bytes: int, expected: list[str]) -> None:
    """A batch ends at the count or the bytes, but is never empty."""
    outbox.append([item(name, size=100) for name in ("1", "2", "3")])
    assert [found.key for _, found in outbox.peek(limit, max_bytes)] == expected


def test_acknowledged_items_are_gone(path: Path, outbox: Outbox) -> None:
    """After acknowledging the second, only the third is there, also after a restart."""
    outbox.append([item("1"), item("2"), item("3")])
    outbox.acknowledge(2)
    outbox.close()
    again = Outbox(path, max_bytes=10_000)
    assert (keys(again), again.pending()) == (["3"], 1)
    again.close()


def test_numbers_go_on_after_everything_left(outbox: Outbox) -> None:
    """An item appended to an emptied outbox is not mistaken for an earlier one."""
    outbox.append([item("1")])
    outbox.acknowledge(1)
    outbox.append([item("2")])
    assert outbox.peek(1, 1) == [(2, item("2"))]


def test_fragments_are_delivered_once_their_items_are(outbox: Outbox) -> None:
    """A fragment counts when its last item, and all before it, are acknowledged."""
    outbox.begin("session")
    outbox.append([item("1"), item("2")])
    outbox.append([item("3")], fragment_done="F1")
    outbox.append([item("4")])
    outbox.append([], fragment_done="F2")
    steps = [outbox.acknowledge(seq) for seq in (2, 3, 4)]
    assert (steps, outbox.last_fragment()) == ([None, "F1", "F2"], "F2")


def test_a_fragment_without_results_is_delivered_at_once(outbox: Outbox) -> None:
    """Where nothing waits and nothing was found, there is nothing to wait for."""
    outbox.begin("session")
    outbox.append([], fragment_done="F1")
    assert outbox.delivered_fragment() == "F1"


def test_a_session_goes_on_where_it_was(path: Path, outbox: Outbox) -> None:
    """After a restart the session finds its last fragment and its state."""
    outbox.begin("session")
    outbox.append([item("1")], fragment_done="F1", state=b"seen PERSON")
    outbox.close()
    again = Outbox(path, max_bytes=10_000)
    assert (again.begin("session"), again.state()) == ("F1", b"seen PERSON")
    again.close()


def test_a_new_session_inherits_items_only(outbox: Outbox) -> None:
    """What an earlier session left is delivered; its fragments and state mean nothing."""
    outbox.begin("first")
    outbox.append([item("1")], fragment_done="F1", state=b"state")
    found = outbox.begin("second")
    assert (found, outbox.state(), keys(outbox)) == (None, None, ["1"])
    assert outbox.acknowledge(1) is None


def test_the_outbox_is_full_at_its_bound(outbox: Outbox) -> None:
    """Bytes waiting count; acknowledging makes room."""
    outbox.append([item("1", size=5_000)])
    half = outbox.is_full
    outbox.append([item("2", size=5_000)])
    assert (half, outbox.is_full, outbox.size_bytes) == (False, True, 10_400)
    outbox.acknowledge(1)
    assert (outbox.is_full, outbox.size_bytes) == (False, 5_200)


def test_a_caller_may_wait_for_room(outbox: Outbox) -> None:
    """wait_for_room returns when an acknowledgement has made some."""
    outbox.append([item("1", size=20_000)])
    full = outbox.wait_for_room(0)
    thread = threading.Thread(target=outbox.acknowledge, args=(1,))
    thread.start()
    assert (full, outbox.wait_for_room(10)) == (False, True)
    thread.join()


def test_appending_tells_the_listener(outbox: Outbox) -> None:
    """Whoever delivers hears of new items after they are safe."""
    heard: list[int] = []
    outbox.on_append(lambda: heard.append(outbox.pending()))
    outbox.append([item("1")])
    outbox.on_append(None)
    outbox.append([item("2")])
    assert heard == [1]


def test_threads_may_append_and_acknowledge_at_once(outbox: Outbox) -> None:
    """Four threads append while one takes away; nothing is lost or doubled."""

    def append(name: int) -> None:
        for number in range(50):
            outbox.append([item(f"{name}-{number}")])

    threads = [threading.Thread(target=append, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    taken: list[str] = []
    while any(thread.is_alive() for thread in threads) or outbox.pending():
        batch = outbox.peek(20, MANY)
        taken += [found.key for _, found in batch]
        if batch:
            outbox.acknowledge(batch[-1][0])
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"{n}-{i}" for n in range(4) for i in range(50))


def test_a_former_owner_can_write_no_more(path: Path, outbox: Outbox) -> None:
    """A worker that lost the session and wakes up neither appends nor acknowledges."""
    outbox.append([item("1")])
    new = Outbox(path, max_bytes=10_000)
    with pytest.raises(OutboxTakenError, match=r"door\.sqlite was opened by another"):
        outbox.append([item("2")])
    with pytest.raises(OutboxTakenError):
        outbox.acknowledge(1)
    assert keys(new) == ["1"]
    new.close()


def test_a_full_disk_is_an_error_and_changes_nothing(outbox: Outbox) -> None:
    """What cannot be written whole is not written at all."""
    outbox.append([item("1")])
    outbox._db.execute("PRAGMA max_page_count = 16")
    with pytest.raises(OutboxError, match="full"):
        outbox.append([item("2", size=500_000)], fragment_done="F1")
    assert (keys(outbox), outbox.pending(), outbox.last_fragment()) == (["1"], 1, None)


def test_a_file_size_limit_is_an_error_and_changes_nothing(outbox: Outbox) -> None:
    """The operating system refusing a write is told as such."""
    outbox.append([item("1")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutboxError, match=r"door\.sqlite"):
            outbox.append([item("2", size=500_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    outbox.append([item("3")])
    assert keys(outbox) == ["1", "3"]


CHILD = """
import sys
from pathlib import Path
from streamd.pipeline.outbox import Outbox, OutboxItem
box = Outbox(Path(sys.argv[1]), max_bytes=10**9)
done = int(box.begin("session") or 0)
while True:
    items = [
        OutboxItem(kind="kinesis", target="t", key=f"{done + 1}-{part}", content_type="c",
                   body=b"x" * 3000)
        for part in range(3)
    ]
    box.append(items, fragment_done=str(done + 1), state=str(done + 1).encode())
    done += 1
    sys.stdout.write(f"{done}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_that_was_appended(path: Path) -> None:
    """Killed five times while appending, every reported append is there, whole and in order."""
    reported = 0
    for round_ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        # Killed at another moment each time, in the middle of whatever it does.
        for _ in range(40 + 13 * round_):
            reported = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        reported = max([reported, *map(int, child.stdout.read().split())])
        child.stdout.close()
    box = Outbox(path, max_bytes=MANY)
    done = int(box.begin("session") or 0)
    assert done >= reported
    assert keys(box) == [f"{n}-{part}" for n in range(1, done + 1) for part in range(3)]
    assert box.state() == str(done).encode()
    box.close()


def test_an_item_knows_when_it_was_kept(path: Path) -> None:
    """Also after a restart: its age is counted from the append, not from the start."""
    clock = ManualClock(1_700_000_000.5)
    box = Outbox(path, max_bytes=10_000, clock=clock)
    box.append([item("1")])
    box.close()
    clock.advance(60)
    again = Outbox(path, max_bytes=10_000, clock=clock)
    again.append([item("2")])
    assert [found.kept_ms for _, found in again.peek(9, MANY)] == [
        1_700_000_000_500,
        1_700_000_060_500,
    ]
    assert [found.attributes for _, found in again.peek(9, MANY)] == [
        {"event_id": "1"},
        {"event_id": "2"},
    ]
    again.close()


def test_an_item_of_an_older_file_has_no_age(outbox: Outbox) -> None:
    """What was kept before this was written down never expires."""
    outbox.append([item("1")])
    outbox._db.execute("UPDATE items SET attributes = '{}'")
    assert [found.kept_ms for _, found in outbox.peek(9, MANY)] == [None]


def test_items_can_leave_past_others(path: Path, outbox: Outbox) -> None:
    """What has left is gone, what stood before it stays, and the count is right."""
    outbox.append([item(name) for name in ("1", "2", "3")], fragment_done="F1")
    assert [found.key for _, found in outbox.peek(1, MANY, after_seq=1)] == ["2"]
    outbox.remove({2, 3, 99})
    assert (keys(outbox), outbox.pending(), outbox.delivered_fragment()) == (["1"], 1, None)
    outbox.acknowledge(1)
    assert outbox.size_bytes == 0
    outbox.close()
    again = Outbox(path, max_bytes=10_000)
    assert again.pending() == 0
    again.close()
