"""The index of archived fragments: found by number and by time, forgotten together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streamd.gateway.archive import Place, StoredFragment, TimeOrigin
from streamd.gateway.errors import ArchiveError, IndexDamagedError
from streamd.gateway.index import FragmentIndex

ARN, OTHER = "arn:door", "arn:yard"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[FragmentIndex]:
    made = FragmentIndex(tmp_path / "index.sqlite")
    yield made
    made.close()


def fragment(number: int, segment_id: int, *, stream_id: int = 1) -> StoredFragment:
    """A second of video: number 3 began three seconds after 1970, the producer's clock a minute."""
    return StoredFragment(
        number=f"{number:047d}",
        server_ms=number * 1000,
        server_end_ms=number * 1000 + 900,
        producer_ms=number * 1000 + 60_000,
        length_ms=1000,
        place=Place(stream_id=stream_id, segment_id=segment_id, offset=number * 100),
        size=90,
        crc32=7,
        header_offset=0,
        header_size=50,
        header_crc32=8,
    )


def filled(index: FragmentIndex, *numbers: int) -> int:
    """Add fragments of the first stream, in a segment of their own."""
    stream_id = index.stream_id(ARN)
    segment_id = index.new_segment(stream_id)
    index.add([fragment(n, segment_id, stream_id=stream_id) for n in numbers], durable=True)
    return segment_id


def numbers(fragments: list[StoredFragment]) -> list[int]:
    return [int(found.number) for found in fragments]


def test_a_fragment_comes_back_as_it_was(index: FragmentIndex) -> None:
    """With every fact of it."""
    segment_id = filled(index, 3)
    assert index.find(1, f"{3:047d}") == fragment(3, segment_id)
    assert index.find(1, f"{4:047d}") is None


def test_streams_keep_their_numbers(index: FragmentIndex, tmp_path: Path) -> None:
    """Across restarts; a removed one's is never given again."""
    first, second = index.stream_id(ARN), index.stream_id(OTHER)
    assert index.stream_id(ARN) == first
    index.remove_stream(OTHER)
    index.close()
    again = FragmentIndex(tmp_path / "index.sqlite", create=False)
    assert again.stream_ids() == {ARN: first}
    assert again.stream_id(OTHER) > second
    again.close()


def test_fragments_follow_a_number(index: FragmentIndex) -> None:
    """In order, ending before another one, no more than asked for."""
    filled(index, 5, 1, 3, 2, 4)
    assert numbers(index.after(1, f"{1:047d}", before=None, limit=2)) == [2, 3]
    assert numbers(index.after(1, f"{1:047d}", before=f"{4:047d}", limit=9)) == [2, 3]
    assert numbers(index.after(1, f"{5:047d}", before=None, limit=9)) == []
    newest = index.newest(1)
    assert newest is not None
    assert int(newest.number) == 5


@pytest.mark.parametrize(
    ("origin", "ms", "number"),
    [
        (TimeOrigin.SERVER, 2_500, 2),
        (TimeOrigin.SERVER, 2_950, 4),
        (TimeOrigin.SERVER, 0, 1),
        (TimeOrigin.SERVER, 4_900, None),
        (TimeOrigin.PRODUCER, 62_950, 2),
        (TimeOrigin.PRODUCER, 63_500, 4),
        (TimeOrigin.PRODUCER, 1, 1),
    ],
    ids=["within", "between", "before all", "after all", "media", "gap", "long before"],
)
def test_a_time_means_the_fragment_that_holds_it_or_the_next(
    index: FragmentIndex, origin: TimeOrigin, ms: int, number: int | None
) -> None:
    """By either clock; what ends before a time does not hold it."""
    filled(index, 1, 2, 4)
    found = index.at(1, origin, ms)
    assert (None if found is None else int(found.number)) == number


def test_a_range_of_times_is_listed_in_pages(index: FragmentIndex) -> None:
    """Those that begin in it, both ends included."""
    filled(index, 1, 2, 3, 4)
    span = {"start_ms": 2_000, "end_ms": 4_000, "limit": 2}
    first = index.between(1, TimeOrigin.SERVER, after="0", **span)
    assert numbers(first) == [2, 3]
    second = index.between(1, TimeOrigin.SERVER, after=first[-1].number, **span)
    assert numbers(second) == [4]


def test_a_removed_stream_takes_its_fragments_along(index: FragmentIndex) -> None:
    """Fragments still on their way to it are left out."""
    segment_id = filled(index, 1)
    assert index.remove_stream(ARN) == (1, [segment_id])
    assert index.remove_stream(ARN) is None
    index.add([fragment(2, segment_id)], durable=True)
    assert index.segments() == []
    assert index.newest(1) is None


def test_segments_tell_where_they_end(index: FragmentIndex) -> None:
    """After the last byte of a fragment or header; an empty one has none."""
    filled(index, 1, 2)
    index.new_segment(1)
    assert [(row.end, row.newest_ms) for row in index.segments()] == [(290, 2_900), (0, 0)]


def test_what_lies_beyond_a_cut_is_forgotten(index: FragmentIndex) -> None:
    """A power cut took the file's end: its fragments are lost, and counted."""
    segment_id = filled(index, 1, 2, 3)
    assert index.cut_segment(segment_id, 290) == 1
    assert numbers(index.after(1, "0", before=None, limit=9)) == [1, 2]
    assert index.remove_segments([segment_id]) == 2


def test_a_segment_is_restored_under_its_own_numbers(index: FragmentIndex) -> None:
    """Unless they are another's by now; a number that is there keeps its first fragment."""
    assert index.restore_segment(ARN, 7, 70)
    assert not index.restore_segment(OTHER, 7, 71)
    assert not index.restore_segment(ARN, 7, 70)
    one = fragment(1, 70, stream_id=7)
    index.restore([one, replace(one, size=1)])
    assert index.find(7, one.number) == one
    assert index.arn_of(7) == ARN
    assert index.arn_of(8) is None


def test_a_file_that_is_no_index_is_damaged(tmp_path: Path) -> None:
    """It can be made again from the segments."""
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"not a database, but long enough for one" * 100)
    with pytest.raises(IndexDamagedError):
        FragmentIndex(path)
    path.unlink()
    with pytest.raises(IndexDamagedError, match="holds nothing"):
        FragmentIndex(path, create=False)


def test_another_versions_index_is_not_touched(tmp_path: Path) -> None:
    """It is an error of its own: nothing is wrong with the file."""
    path = tmp_path / "index.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ArchiveError, match="another version") as caught:
        FragmentIndex(path)
    assert not isinstance(caught.value, IndexDamagedError)
