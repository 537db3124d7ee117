from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.gateway.archive import Place, StoredFragment
from streamd.gateway.segment_format import (
    RECORD_BYTES,
    Preamble,
    new_preamble,
    read_preamble,
    record,
    records,
)

ARN = "arn:aws:kinesisvideo:us-east-1:000000000000:stream/door/1"
MARK = b"sixteen mark bytes"[:16]


def stored(number: int, *, offset: int, size: int, header_offset: int = 0) -> StoredFragment:
    return StoredFragment(
        number=f"{number:047d}",
        server_ms=1,
        server_end_ms=2,
        producer_ms=-3,
        length_ms=4,
        place=Place(stream_id=5, segment_id=6, offset=offset),
        size=size,
        crc32=0xFFFFFFFF,
        header_offset=header_offset,
        header_size=8,
        header_crc32=9,
    )


@given(
    st.lists(st.tuples(st.integers(0, 10**47 - 1), st.binary(min_size=8, max_size=200)), max_size=6)
)
def test_a_segment_tells_its_fragments(fragments: list[tuple[int, bytes]]) -> None:
    """Whatever the media, every record is found, in order and exactly."""
    preamble = new_preamble(ARN)
    data, written = preamble.to_bytes(), []
    for number, media in fragments:
        written.append(stored(number, offset=len(data), size=len(media)))
        data += media + record(written[-1], preamble.mark)
    assert read_preamble(data) == preamble
    assert list(records(data, preamble, stream_id=5, segment_id=6)) == written


def test_a_record_is_of_a_known_length() -> None:
    """Recovery relies on it."""
    assert len(record(stored(1, offset=0, size=1), MARK)) == RECORD_BYTES


def test_media_cannot_pretend_to_be_a_record() -> None:
    """A record under another mark, or one that does not end its fragment, is media."""
    preamble = Preamble(ARN, MARK)
    begin = preamble.to_bytes()
    forged = record(stored(1, offset=len(begin), size=8), b"another mark ...")
    misplaced = record(stored(2, offset=0, size=3), MARK)
    data = begin + b"12345678" + forged + misplaced
    assert list(records(data, preamble, stream_id=5, segment_id=6)) == []


def test_damaged_records_are_passed_over() -> None:
    """A record with a wrong checksum, or cut off, is not believed; the next one is."""
    preamble = Preamble(ARN, MARK)
    data = preamble.to_bytes() + b"12345678"
    first = bytearray(record(stored(1, offset=len(data) - 8, size=8), MARK))
    first[-1] ^= 1
    data += first + b"12345678"
    second = stored(2, offset=len(data) - 8, size=8)
    data += record(second, MARK)
    data += record(stored(3, offset=len(data), size=0), MARK)[:-1]
    assert list(records(data, preamble, stream_id=5, segment_id=6)) == [second]


@given(st.binary(max_size=80))
def test_other_files_have_no_preamble(data: bytes) -> None:
    """Whatever does not begin as a segment, or is damaged, is not read."""
    assert read_preamble(data) is None
    whole = Preamble(ARN, MARK).to_bytes()
    assert read_preamble(whole[: len(data)]) is None
    assert read_preamble(whole[:20] + b"\xff" + whole[21:]) is None
