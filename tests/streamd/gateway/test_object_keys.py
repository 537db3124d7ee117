"""Names of objects."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.gateway.archive import Place, StoredFragment
from streamd.gateway.object_keys import fragment_name, name_at, read_name, stream_prefix
from streamd.kvs.numbers import MAX_SALT, new_number

FRAGMENT = StoredFragment(
    number="91895533874440673605361653767141652119026663424",
    server_ms=1_700_000_000_123,
    server_end_ms=1_700_000_002_125,
    producer_ms=1_699_999_999_000,
    length_ms=2000,
    place=Place(stream_id=3, segment_id=9, offset=311),
    size=123_456,
    crc32=0xDEADBEEF,
    header_offset=0,
    header_size=311,
    header_crc32=0x0000CAFE,
)
NAME = (
    "91895533874440673605361653767141652119026663424_1700000000123_2002_1699999999000_2000_"
    "311_123456_0000cafe_deadbeef.mkv"
)


def test_a_name_tells_all() -> None:
    """Everything the index knows but where it lies here is in the name."""
    assert fragment_name(FRAGMENT) == NAME
    assert read_name(NAME, stream_id=3, segment_id=9) == FRAGMENT


@given(
    st.integers(0, 2**41), st.integers(0, 60_000), st.integers(-(2**41), 2**41),
    st.integers(0, 60_000), st.integers(0, 2**20), st.integers(0, 2**30),
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, MAX_SALT),
)  # fmt: skip
def test_names_are_read_again(
    server: int, lasted: int, producer: int, length: int, header: int, size: int, a: int, b: int,
    salt: int,
) -> None:  # fmt: skip
    """Whatever the values; and no name is too long for a file's."""
    fragment = StoredFragment(
        number=new_number(None, server_timestamp_ms=server, salt=salt),
        server_ms=server,
        server_end_ms=server + lasted,
        producer_ms=producer,
        length_ms=length,
        place=Place(stream_id=1, segment_id=2, offset=header),
        size=size,
        crc32=a,
        header_offset=0,
        header_size=header,
        header_crc32=b,
    )
    name = fragment_name(fragment)
    assert read_name(name, stream_id=1, segment_id=2) == fragment
    assert len(name) <= 200
    assert name_at(server) <= name < name_at(server + 1)


@pytest.mark.parametrize(
    "name", ["", "readme.txt", NAME + ".tmp", "x" + NAME, NAME.replace("_2002_", "_-2002_")]
)
def test_other_names_are_nobodys(name: str) -> None:
    """What somebody else put there is no fragment."""
    assert read_name(name, stream_id=1) is None


def test_streams_have_folders_of_their_own() -> None:
    """By Region, account, name and creation: a stream made again begins anew."""
    arn = "arn:aws:kinesisvideo:eu-west-1:123456789012:stream/front.door-1/1700000000000"
    assert stream_prefix(arn) == "eu-west-1/123456789012/front.door-1-1700000000000/"


def test_long_names_fit_into_file_names() -> None:
    """And two that differ at their end stay apart."""
    arn = "arn:aws:kinesisvideo:eu-west-1:123456789012:stream/{}/1700000000000"
    first, second = (stream_prefix(arn.format("x" * 255 + end)) for end in "ab")
    assert first != second
    assert max(len(part) for part in first.split("/")) <= 255


def test_order_of_names_is_order_of_numbers() -> None:
    """A listing in the order of keys is one in the order of fragments."""
    later = dataclasses.replace(FRAGMENT, number=f"{int(FRAGMENT.number) + 1:047d}", server_ms=1)
    assert fragment_name(FRAGMENT) < fragment_name(later)
