from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.gateway.archive import Freed, Retention
from streamd.gateway.disk_archive import DiskArchive
from streamd.gateway.errors import ArchiveError, FragmentDamagedError
from tests.support.archives import ARN, DAY, HOUR_MS, MB, OTHER_ARN, T0_MS, DiskBox
from tests.support.clock import ManualClock


@pytest.fixture
def box(tmp_path: Path) -> Iterator[DiskBox]:
    made = DiskBox(tmp_path / "a")
    yield made
    made.archive.close()


def test_fragments_come_back_whole(box: DiskBox) -> None:
    """What was written is read again, with its header; the header is there once."""
    fragments = [box.put(second, b"media-%d" % second) for second in range(3)]
    for second, fragment in enumerate(fragments):
        assert box.archive.check(fragment) == b"media-%d" % second
        assert box.archive.header(fragment) == b"header"
    (segment,) = box.segments()
    stored = segment.read_bytes()
    assert stored.count(b"header") == 1
    assert [stored.count(b"media-%d" % second) for second in range(3)] == [1, 1, 1]
    assert box.archive.total_bytes == len(stored)
    assert box.seconds() == [0, 1, 2]


def test_what_is_not_committed_is_not_there(box: DiskBox) -> None:
    """A fragment without its row is unknown after a restart, and its bytes are cut off."""
    box.put(0)
    (segment,) = box.segments()
    committed = segment.read_bytes()
    writer = box.archive.begin(box.archive.stream_id(ARN), DAY)
    writer.write(b"header", [b"half a fragment"])
    assert segment.read_bytes() == committed + b"half a fragment"
    again = box.reopened()
    assert again.seconds() == [0]
    assert segment.read_bytes() == committed
    assert again.lost == []
    again.archive.close()


def test_files_nobody_knows_are_removed(box: DiskBox) -> None:
    """A segment that was created but never committed to goes at the next start."""
    box.put(0)
    stray = box.segments()[0].with_name("000000009999.seg")
    stray.write_bytes(b"x")
    again = box.reopened()
    assert not stray.exists()
    again.archive.close()


@pytest.mark.parametrize(
    ("second", "keep", "left", "lost"),
    [
        pytest.param(0, -6, [], [("cut off", 3)], id="nothing"),
        pytest.param(0, 5, [0], [("cut off", 2)], id="to a boundary"),
        pytest.param(2, 2, [0, 1], [("cut off", 1)], id="into the last"),
    ],
)
def test_a_truncated_file_loses_only_what_lay_beyond(
    box: DiskBox, second: int, keep: int, left: list[int], lost: list[tuple[str, int]]
) -> None:
    """Fragments beyond the end of a file are forgotten, logged and counted; the others stay."""
    fragments = [box.put(second) for second in range(3)]
    (segment,) = box.segments()
    os.truncate(segment, fragments[second].place.offset + keep)
    again = box.reopened()
    assert (again.seconds(), again.lost) == (left, lost)
    again.put(9)  # and it goes on
    assert again.seconds() == [*left, 9]
    again.archive.close()


def test_a_missing_file_loses_its_fragments(box: DiskBox) -> None:
    """Segments that somebody removed are forgotten at the next start."""
    box.put(0)
    box.segments()[0].unlink()
    again = box.reopened()
    assert (again.seconds(), again.lost) == ([], [("missing", 1)])
    again.archive.close()


def test_changed_bytes_are_noticed(box: DiskBox) -> None:
    """A checksum covers header and fragment: damage is an error, never served."""
    fragment = box.put(0)
    (segment,) = box.segments()
    stored = segment.read_bytes()
    segment.write_bytes(stored.replace(b"media", b"medoa"))
    with pytest.raises(FragmentDamagedError, match="checksum"):
        box.archive.check(fragment)
    segment.write_bytes(stored.replace(b"header", b"heager"))
    with pytest.raises(FragmentDamagedError, match="checksum"):
        box.archive.header(fragment)
    segment.write_bytes(stored[: fragment.place.offset + 3])
    with pytest.raises(FragmentDamagedError, match="cut off"):
        box.archive.check(fragment)


def test_retention_by_age_frees_whole_segments(box: DiskBox) -> None:
    """Segments roll over with time; one goes when its newest fragment is too old."""
    hour = Retention(max_age_ms=HOUR_MS, max_bytes=None, durable=True)
    for minute in (0, 3, 7, 14):
        box.clock.advance(T0_MS / 1000 + 60 * minute - box.clock.epoch())
        box.put(60 * minute, retention=hour)
    assert len(box.segments()) == 3  # of six minutes: a tenth of the hour
    box.clock.advance(50 * 60)  # the first segment's newest is 61 minutes old
    assert box.archive.enforce({ARN: hour}, max_bytes=1024 * MB) == Freed(segments=1)
    assert box.seconds() == [7 * 60, 14 * 60]
    assert len(box.segments()) == 2


def test_retention_by_bytes_frees_the_oldest_of_all_streams(tmp_path: Path) -> None:
    """Over the limit the oldest segments go, whichever stream they belong to."""
    box = DiskBox(tmp_path / "a", max_bytes=MB)
    for second in range(20):
        box.put(second, bytes(100_000), arn=(ARN, OTHER_ARN)[second % 2])
    assert box.archive.total_bytes > MB
    box.archive.enforce({ARN: DAY, OTHER_ARN: DAY}, max_bytes=MB)
    assert MB * 0.8 < box.archive.total_bytes <= MB
    # Two to a segment.
    assert box.seconds(ARN) == [12, 14, 16, 18]
    assert box.seconds(OTHER_ARN) == [9, 11, 13, 15, 17, 19]
    assert sum(path.stat().st_size for path in box.segments()) == box.archive.total_bytes
    box.archive.close()


def test_a_removed_stream_takes_late_commits_with_it(box: DiskBox) -> None:
    """Removing a stream frees its files; a fragment committed afterwards is not found."""
    box.put(0)
    writer = box.archive.begin(box.archive.stream_id(ARN), DAY)
    writer.write(b"header", [b"late"])
    box.archive.remove_stream(ARN)
    with pytest.raises(ArchiveError):  # its directory is gone; or it is written in vain
        box.archive.commit(
            [
                writer.finish(
                    number="1", server_ms=0, server_end_ms=1, producer_ms=0, length_ms=1,
                    patch=(0, b"L"),
                )
            ],
            durable=True,
        )  # fmt: skip
    assert box.segments() == []
    assert box.archive.total_bytes == 0
    assert box.seconds() == []


def test_a_short_disk_frees_the_oldest_of_all_streams(tmp_path: Path) -> None:
    """Below the limit of bytes, too, and no more than it is short of; it says how many."""
    box = DiskBox(tmp_path / "a", max_bytes=MB)
    for second in range(20):
        box.put(second, bytes(60_000), arn=(ARN, OTHER_ARN)[second % 2])
    kept = {ARN: DAY, OTHER_ARN: DAY}
    before = box.archive.total_bytes
    box.free = 10
    assert box.archive.enforce(kept, max_bytes=1024 * MB) == Freed()
    box.free = -150_000
    assert box.archive.enforce(kept, max_bytes=1024 * MB) == Freed(segments=2, early=2)
    # Two fragments to a segment; the segments of both streams take turns.
    assert box.seconds(ARN) == [4, 6, 8, 10, 12, 14, 16, 18]
    assert box.seconds(OTHER_ARN) == [5, 7, 9, 11, 13, 15, 17, 19]
    assert 150_000 <= before - box.archive.total_bytes <= 270_000
    box.archive.close()


def test_a_short_disk_spares_what_has_still_to_be_read(tmp_path: Path) -> None:
    """Newer video of other streams goes first; where that is not enough, it goes, and is told."""
    box = DiskBox(tmp_path / "a", max_bytes=MB)
    for second in range(20):
        box.put(second, bytes(60_000), arn=ARN if second < 10 else OTHER_ARN)
    kept = {ARN: DAY, OTHER_ARN: DAY}
    box.free = -400_000
    freed = box.archive.enforce(kept, max_bytes=1024 * MB, needed={ARN: box.number(3)})
    assert freed == Freed(segments=4, early=4)
    assert box.seconds(ARN) == [4, 5, 6, 7, 8, 9]
    assert box.seconds(OTHER_ARN) == [14, 15, 16, 17, 18, 19]
    box.free = -500_000
    freed = box.archive.enforce(kept, max_bytes=1024 * MB, needed={ARN: box.number(3)})
    assert (freed.early, freed.unread) == (5, 2)
    assert box.seconds(ARN) == [8, 9]
    box.archive.close()


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    """An archive written by a newer streamd is left alone."""
    connection = sqlite3.connect(tmp_path / "archive.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ArchiveError, match="another version"):
        DiskBox(tmp_path)


WRITER = textwrap.dedent(
    """
    import sys, zlib
    from pathlib import Path
    from streamd.clock import SystemClock
    from streamd.gateway.archive import Retention
    from streamd.gateway.disk_archive import DiskArchive

    archive = DiskArchive(
        Path(sys.argv[1]), clock=SystemClock(), max_bytes=1 << 30, on_lost=lambda *_: None
    )
    archive.recover()
    stream_id = archive.stream_id("door")
    retention = Retention(max_age_ms=1 << 40, max_bytes=700_000, durable=True)  # small segments
    newest = archive.newest(stream_id)
    index = int(newest.number) + 1 if newest else 0
    while True:
        writer = archive.begin(stream_id, retention)
        data = b"%08d" % index * 2500
        for start in range(0, len(data), 4000):
            writer.write(b"header", [data[start : start + 4000]])
        fragment = writer.finish(
            number=f"{index:047d}", server_ms=index, server_end_ms=index + 1,
            producer_ms=index, length_ms=1, patch=None,
        )
        archive.commit([fragment], durable=True)
        print(index, flush=True)
        index += 1
    """
)


def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    """Whatever was promised before a kill is there after it, whole, and nothing is half."""

    def lost(reason: str, count: int) -> None:
        pytest.fail(f"{count} fragments {reason}")

    chance = random.Random(7)
    promised, found = -1, []
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 40)):
                promised = int(process.stdout.readline())
            # Somewhere between two promises, in a write, a sync or a commit.
            for _ in range(chance.randrange(20_000)):
                pass
            process.send_signal(signal.SIGKILL)
            promised = max(
                [promised, *(int(line) for line in process.stdout if line.endswith(b"\n"))]
            )
        archive = DiskArchive(tmp_path, clock=ManualClock(), max_bytes=1 << 30, on_lost=lost)
        archive.recover()
        found = archive.after(archive.stream_id("door"), "", limit=100_000)
        assert [int(f.number) for f in found] == list(range(len(found)))
        assert len(found) in (promised + 1, promised + 2)
        for fragment in found:
            assert archive.header(fragment) == b"header"
            assert archive.check(fragment) == b"%08d" % int(fragment.number) * 2500
        archive.close()
    # The segments alone tell as much: what a kill cut off is not taken for a fragment.
    for path in tmp_path.glob("archive.sqlite*"):
        path.unlink()
    archive = DiskArchive(tmp_path, clock=ManualClock(), max_bytes=1 << 30, on_lost=lost)
    archive.recover()
    again = archive.after(archive.stream_id("door"), "", limit=100_000)
    assert again[: promised + 1] == found[: promised + 1]
    archive.close()
