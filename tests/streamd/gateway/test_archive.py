"""What every archive promises: on a local disk, and in S3."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.gateway.archive import Retention, StoredFragment, TimeOrigin
from streamd.gateway.errors import FragmentGoneError
from tests.support.archives import (
    ARN,
    DAY,
    HOUR_MS,
    MB,
    OTHER_ARN,
    T0_MS,
    ArchiveBox,
    DiskBox,
    S3Box,
)
from tests.support.moto import Moto, moto_server


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server() as server:
        yield server


@pytest.fixture(params=["disk", "s3"])
def box(request: pytest.FixtureRequest, tmp_path: Path, moto: Moto) -> Iterator[ArchiveBox]:
    made: ArchiveBox = (
        DiskBox(tmp_path / "a") if request.param == "disk" else S3Box(tmp_path / "a", moto)
    )
    yield made
    made.archive.close()


def whole(box: ArchiveBox, fragment: StoredFragment) -> bytes:
    """Return a fragment as a consumer gets it."""
    first = box.archive.check(fragment)
    rest = box.archive.read(fragment.place, len(first), fragment.size - len(first))
    return first + rest


def test_fragments_come_back_whole(box: ArchiveBox) -> None:
    """What was written is read again, with its header."""
    fragments = [box.put(second, b"media-%d" % second) for second in range(3)]
    for second, fragment in enumerate(fragments):
        assert whole(box, fragment) == b"media-%d" % second
        assert box.archive.header(fragment) == b"header"
    assert box.seconds() == [0, 1, 2]


def test_large_fragments_are_read_in_pieces(box: ArchiveBox) -> None:
    """The check covers all bytes and returns the first piece; read() returns the others."""
    data = random.Random(1).randbytes(2 * MB + 5)
    fragment = box.put(0, data)
    first = box.archive.check(fragment)
    rest = box.archive.read(fragment.place, len(first), 10 * MB)
    assert (first + rest)[: fragment.size] == data


def test_order_is_by_number(box: ArchiveBox) -> None:
    """after() pages by number, newest() and find() are exact."""
    fragments = [box.put(second) for second in range(4)]
    stream_id = box.archive.stream_id(ARN)
    found = box.archive.after(stream_id, fragments[0].number, before=fragments[3].number, limit=1)
    assert [f.number for f in found] == [fragments[1].number]
    assert box.archive.newest(stream_id) == fragments[3]
    assert box.archive.find(stream_id, fragments[2].number) == fragments[2]
    assert box.archive.find(stream_id, "1") is None


@pytest.mark.parametrize(
    ("origin", "ms", "second"),
    [
        (TimeOrigin.PRODUCER, 10_500, 10),
        (TimeOrigin.PRODUCER, 11_000, 20),
        (TimeOrigin.PRODUCER, 0, 10),
        (TimeOrigin.PRODUCER, 21_000, None),
        (TimeOrigin.SERVER, 10_899, 10),
        (TimeOrigin.SERVER, 10_950, 20),
        (TimeOrigin.SERVER, 99_000, None),
    ],
)
def test_times_are_contained_or_followed(
    box: ArchiveBox, origin: TimeOrigin, ms: int, second: int | None
) -> None:
    """at() finds the fragment that contains a time, else the one that begins next."""
    by_second = {second: box.put(second) for second in (10, 20)}
    found = box.archive.at(box.archive.stream_id(ARN), origin, T0_MS + ms)
    assert found == (None if second is None else by_second[second])


def test_abandoned_fragments_leave_no_trace(box: ArchiveBox) -> None:
    """An abandoned fragment is never found; the next one goes behind its bytes."""
    writer = box.archive.begin(box.archive.stream_id(ARN), DAY)
    writer.write(b"header", [b"void"])
    writer.abandon()
    fragment = box.put(1)
    assert box.archive.check(fragment) == b"media"
    assert box.seconds() == [1]


def test_an_open_fragment_is_read_where_it_lies(box: ArchiveBox) -> None:
    """A slow consumer of a live fragment reads what is written so far, and on after its end."""
    writer = box.archive.begin(box.archive.stream_id(ARN), DAY)
    assert writer.place is None
    writer.write(b"header", [b"abc"])
    place = writer.place
    assert place is not None
    writer.write(b"header", [b"def"])
    assert box.archive.read(place, 2, 3) == b"cde"
    fragment = writer.finish(
        number=box.number(0), server_ms=T0_MS, server_end_ms=T0_MS, producer_ms=T0_MS,
        length_ms=1, patch=(1, b"BCD"),
    )  # fmt: skip
    assert box.archive.read(place, 0, 10)[:6] == b"aBCDef"
    box.archive.commit([fragment], durable=True)
    assert box.persisted(fragment).wait(30)
    assert box.archive.read(place, 4, 2) == b"ef"
    assert whole(box, fragment) == b"aBCDef"


def test_an_abandoned_fragment_can_be_read_to_its_end(box: ArchiveBox) -> None:
    """Somebody may be in the middle of it."""
    writer = box.archive.begin(box.archive.stream_id(ARN), DAY)
    writer.write(b"header", [b"void"])
    place = writer.place
    writer.abandon()
    assert place is not None
    assert box.archive.read(place, 0, 4) == b"void"


def test_what_is_not_committed_is_not_found(box: ArchiveBox) -> None:
    """A fragment on its way is unknown, and after a restart nobody has heard of half a one."""
    box.put(0)
    box.write(1)
    half = box.archive.begin(box.archive.stream_id(ARN), DAY)
    half.write(b"header", [b"half a fragment"])
    assert box.seconds() == [0]
    half.abandon()


def test_times_select_what_begins_in_them(box: ArchiveBox) -> None:
    """between() pages through a range of times by number."""
    for second in range(6):
        box.put(second)
    stream_id = box.archive.stream_id(ARN)
    found = box.archive.between(
        stream_id,
        TimeOrigin.PRODUCER,
        start_ms=T0_MS + 1000,
        end_ms=T0_MS + 4000,
        after=box.number(1),
        limit=2,
    )
    assert [fragment.number for fragment in found] == [box.number(2), box.number(3)]


def test_everything_is_there_after_a_restart(box: ArchiveBox) -> None:
    """Streams, numbers, bytes."""
    fragments = [box.put(second, b"media-%d" % second) for second in range(3)]
    box.put(7, arn=OTHER_ARN)
    again = box.reopened()
    assert sorted(again.archive.stream_arns()) == [ARN, OTHER_ARN]
    again.archive.refresh(again.archive.stream_id(ARN))
    assert [f.number for f in again.found()] == [f.number for f in fragments]
    for second, fragment in enumerate(again.found()):
        assert whole(again, fragment) == b"media-%d" % second
        assert again.archive.header(fragment) == b"header"
    assert again.lost == []
    again.archive.close()


def test_retention_by_age(box: ArchiveBox) -> None:
    """What is too old goes, of the stream whose age it is."""
    hour = Retention(max_age_ms=HOUR_MS, max_bytes=None, durable=True)
    for minute in (0, 14):
        box.clock.advance(T0_MS / 1000 + 60 * minute - box.clock.epoch())
        box.put(60 * minute, retention=hour)
        box.put(60 * minute, arn=OTHER_ARN)
    box.clock.advance(50 * 60)
    freed = box.archive.enforce({ARN: hour, OTHER_ARN: DAY}, max_bytes=1024 * MB)
    assert (freed.segments, freed.early) == (1, 0)
    assert box.seconds() == [14 * 60]
    assert box.seconds(OTHER_ARN) == [0, 14 * 60]


def test_bytes_of_one_stream_are_limited(box: ArchiveBox) -> None:
    """max_stream_bytes takes only from its stream, the oldest first."""
    small = Retention(max_age_ms=HOUR_MS, max_bytes=MB, durable=True)
    for second in range(20):
        box.put(second, bytes(100_000), retention=small)
        box.put(second, bytes(10), arn=OTHER_ARN)
    box.archive.enforce({ARN: small, OTHER_ARN: DAY}, max_bytes=1024 * MB)
    assert len(box.seconds()) in (9, 10)
    assert box.seconds()[-1] == 19
    assert len(box.seconds(OTHER_ARN)) == 20


def test_a_fragment_freed_while_it_is_read(box: ArchiveBox) -> None:
    """A reader that was too slow is told that the fragment is gone, not that it is damaged."""
    fragment = box.put(0)
    box.clock.advance(3600 * 48)
    box.archive.enforce({ARN: DAY}, max_bytes=1024 * MB)
    with pytest.raises(FragmentGoneError):
        box.archive.check(fragment)


def test_a_removed_stream_is_gone(box: ArchiveBox) -> None:
    """With all its fragments; the others stay, and removing it again is fine."""
    box.put(0)
    box.put(1, arn=OTHER_ARN)
    box.archive.remove_stream(ARN)
    box.archive.remove_stream(ARN)
    assert box.archive.stream_arns() == [OTHER_ARN]
    assert box.seconds(OTHER_ARN) == [1]
    again = box.reopened()
    again.archive.refresh(again.archive.stream_id(ARN))
    assert again.seconds() == []
    again.archive.close()


def test_a_dropped_fragment_is_not_found(box: ArchiveBox) -> None:
    """The ones around it are."""
    fragments = [box.put(second) for second in range(3)]
    box.archive.drop(fragments[1])
    assert box.seconds() == [0, 2]


def test_what_a_buffer_keeps_is_read_like_anything(box: ArchiveBox) -> None:
    """A stream with a retention of 0: read, found after a restart or not, freed by its age."""
    buffer = Retention(max_age_ms=5 * 60_000, max_bytes=200_000_000, durable=False)
    fragment = box.put(0, retention=buffer)
    assert whole(box, fragment) == b"media"
    box.clock.advance(3600)
    box.archive.enforce({ARN: buffer}, max_bytes=1024 * MB)
    assert box.seconds() == []
