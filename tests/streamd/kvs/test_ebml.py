"""Variable-length integers and element payloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.kvs.ebml import (
    UNKNOWN_SIZE,
    MkvError,
    children,
    element,
    element_id,
    float_value,
    size_bytes,
    text_value,
    uint_value,
    vint,
)


@pytest.mark.parametrize(
    ("data", "value", "end"),
    [
        (b"\x81", 1, 1),
        (b"\xfe", 126, 1),
        (b"\xff", UNKNOWN_SIZE, 1),
        (b"\x40\x7f", 127, 2),
        (b"\x01" + b"\xff" * 7, UNKNOWN_SIZE, 8),
        (b"\x01" + bytes(6) + b"\x05", 5, 8),
    ],
)
def test_vint(data: bytes, value: int, end: int) -> None:
    """Sizes of 1 to 8 bytes; all ones is the unknown size."""
    assert vint(memoryview(data), 0) == (value, end)


@pytest.mark.parametrize("data", [b"", b"\x40", b"\x01\xff"])
def test_vint_cut_off(data: bytes) -> None:
    """A number that is cut off is not an error yet."""
    assert vint(memoryview(data), 0) is None


def test_vint_of_nine_bytes() -> None:
    """No size takes more than 8 bytes."""
    with pytest.raises(MkvError, match="8 bytes"):
        vint(memoryview(bytes(9)), 0)


@given(st.integers(0, (1 << 56) - 2))
def test_sizes_round_trip(value: int) -> None:
    """What is written is read, and never as unknown."""
    assert vint(memoryview(size_bytes(value)), 0) == (value, len(size_bytes(value)))
    assert vint(memoryview(size_bytes(value, 8)), 0) == (value, 8)


def test_element_ids_keep_their_marker() -> None:
    """Ids are 1 to 4 bytes, spelled with the marker."""
    assert element_id(memoryview(b"\x1a\x45\xdf\xa3"), 0) == (0x1A45DFA3, 4)
    assert element_id(memoryview(b"\x1a\x45"), 0) is None
    with pytest.raises(MkvError, match="0x08"):
        element_id(memoryview(b"\x08"), 0)


def test_children() -> None:
    """Children come in order; one that does not fit its parent is an error."""
    payload = element(0xA3, b"one") + element(0xEC, b"")
    assert [(i, bytes(p)) for i, p in children(memoryview(payload))] == [
        (0xA3, b"one"),
        (0xEC, b""),
    ]
    for bad in (payload[:3], payload + b"\xa3", payload + b"\xa3\xff", payload + b"\xa3\x82a"):
        with pytest.raises(MkvError, match="parent"):
            list(children(memoryview(bad)))


def test_values() -> None:
    """Integers, floats and texts; what they cannot be is an error."""
    assert uint_value(memoryview(b"\x01\x00")) == 256
    assert uint_value(memoryview(b"")) == 0
    assert float_value(memoryview(b"\x3f\x80\0\0")) == 1.0
    assert float_value(memoryview(b"\x40\xe5\x88\x80\0\0\0\0")) == 44100.0
    assert float_value(memoryview(b"")) == 0.0
    assert text_value(memoryview(b"abc\0\0")) == "abc"
    for read, bad in (
        (uint_value, bytes(9)),
        (float_value, bytes(3)),
        (float_value, b"\x7f\xc0\0\0"),
        (float_value, b"\xff\xf0" + bytes(6)),
        (text_value, b"\xff"),
    ):
        with pytest.raises(MkvError):
            read(memoryview(bad))
